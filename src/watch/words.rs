//! Enums whose variants are words of a watch file: the enum, its words and their meaning are written once.

/// A word that a field accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// As it is written, between quotes.
    pub word: &'static str,
    /// What it means, for people.
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
    /// Every variant that can be written, in the order in which they are explained.
    const ALL: &'static [Self];
    /// The words of [`ALL`](Self::ALL), in the same order.
    const WORDS: &'static [Word];

    /// The variant that this word stands for.
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().zip(Self::WORDS).find(|(_, known)| known.word == word).map(|(choice, _)| *choice)
    }
}

/// Defines an enum with the word of each variant, and what the word means.
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
            /// As it is written in a watch file.
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
