//! Enums whose variants are words of a watch file: the enum, its words and their meaning are defined in one place.

/// A word that a field accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// As it is written, between quotes.
    pub word: &'static str,
    /// Its meaning, for people.
    pub doc: &'static str,
}

impl Word {
    /// A word and its meaning.
    pub const fn new(word: &'static str, doc: &'static str) -> Self {
        Self { word, doc }
    }
}

/// An enum that a field of a watch file chooses from.
pub trait Choice: Copy + 'static {
    /// Every variant that can be written, in the order of the documentation.
    const ALL: &'static [Self];
    /// The words of [`ALL`](Self::ALL), in the same order.
    const WORDS: &'static [Word];

    /// The variant of this word.
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().zip(Self::WORDS).find(|(_, known)| known.word == word).map(|(choice, _)| *choice)
    }
}

/// Defines an enum with the word and the meaning of each variant.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($variant:ident = $word:literal: $doc:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`: ", $doc, ".")] $variant,)*
        }

        impl $name {
            /// The word in a watch file.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl $crate::watch::Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];
            const WORDS: &'static [$crate::watch::Word] = &[$($crate::watch::Word::new($word, $doc),)*];
        }
    };
}
pub(crate) use choice;
