//! Values that can be known without running the old configuration, and why others cannot.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use ruff_python_ast::StmtFunctionDef;

/// Deepest nesting at which lists are compared.
const DEEPEST_LIST: usize = 50;

/// Why a value is unknown, as half a sentence, with the line (from 1) where that began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) text: String,
    pub(super) line: usize,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {})", self.text, self.line)
    }
}

/// The argument of `Exec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// A string for the shell.
    Shell(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

/// A built-in function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    RegisterWatch,
    Exec,
    Str,
    Int,
    Bool,
    Len,
    Range,
    List,
    Tuple,
    Dict,
    Sorted,
    Reversed,
    Enumerate,
    Zip,
    /// `print`, and other functions that only write output.
    Print,
}

/// A value. Lists and dictionaries are shared as in Python: two names may refer to the same one.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    List(Rc<RefCell<Vec<Value<'a>>>>),
    Tuple(Rc<[Value<'a>]>),
    Dict(Rc<RefCell<Vec<(Value<'a>, Value<'a>)>>>),
    Exec(Rc<Command>),
    Builtin(Builtin),
    Function(&'a StmtFunctionDef),
    /// An imported module, or a dotted name in one: `os.path`.
    Module(Rc<str>),
    /// `pwd.getpwnam(NAME)`, `grp.getgrnam(NAME)`.
    Account(Rc<str>),
    Unknown(Rc<Why>),
}

impl Value<'_> {
    pub(super) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Str(text.into())
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(RefCell::new(items)))
    }

    pub(super) fn dict(items: Vec<(Self, Self)>) -> Self {
        Self::Dict(Rc::new(RefCell::new(items)))
    }

    pub(super) fn unknown(text: impl Into<String>, line: usize) -> Self {
        Self::Unknown(Rc::new(Why { text: text.into(), line }))
    }

    /// The word for this kind of value in messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a fraction",
            Self::Str(_) => "a string",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dictionary",
            Self::Exec(_) => "an Exec()",
            Self::Builtin(_) | Self::Function(_) => "a function",
            Self::Module(_) => "a name of a module",
            Self::Account(_) => "an account",
            Self::Unknown(_) => "not known",
        }
    }

    /// Python's truth value; `None` if unknown.
    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::None => Some(false),
            Self::Bool(value) => Some(*value),
            Self::Int(value) => Some(*value != 0),
            Self::Float(value) => Some(*value != 0.0),
            Self::Str(text) => Some(!text.is_empty()),
            Self::List(items) => Some(!items.borrow().is_empty()),
            Self::Tuple(items) => Some(!items.is_empty()),
            Self::Dict(items) => Some(!items.borrow().is_empty()),
            Self::Exec(_) | Self::Builtin(_) | Self::Function(_) => Some(true),
            Self::Module(_) | Self::Account(_) | Self::Unknown(_) => None,
        }
    }

    /// The result of `==`; `None` if unknown.
    pub(super) fn equals(&self, other: &Self) -> Option<bool> {
        self.equals_below(other, 0)
    }

    /// Whether `==` has a known result.
    fn is_plain(&self) -> bool {
        match self {
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::List(_)
            | Self::Tuple(_) => true,
            Self::Dict(_)
            | Self::Exec(_)
            | Self::Builtin(_)
            | Self::Function(_)
            | Self::Module(_)
            | Self::Account(_)
            | Self::Unknown(_) => false,
        }
    }

    /// A list may contain itself, so the depth is bounded.
    fn equals_below(&self, other: &Self, depth: usize) -> Option<bool> {
        if depth > DEEPEST_LIST || !self.is_plain() || !other.is_plain() {
            return None;
        }
        match (self, other) {
            (Self::None, Self::None) => Some(true),
            (Self::Str(a), Self::Str(b)) => Some(a == b),
            (Self::List(a), Self::List(b)) => same(&a.borrow(), &b.borrow(), depth),
            (Self::Tuple(a), Self::Tuple(b)) => same(a, b, depth),
            (a, b) => match (a.number(), b.number()) {
                #[expect(clippy::float_cmp, reason = "Python compares exactly, too")]
                (Some(a), Some(b)) => Some(a == b),
                (Some(_), None) | (None, Some(_) | None) => Some(false),
            },
        }
    }

    /// Its value as a number; True is 1.
    #[expect(clippy::cast_precision_loss, reason = "only used for comparisons of small numbers")]
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::None
            | Self::Str(_)
            | Self::List(_)
            | Self::Tuple(_)
            | Self::Dict(_)
            | Self::Exec(_)
            | Self::Builtin(_)
            | Self::Function(_)
            | Self::Module(_)
            | Self::Account(_)
            | Self::Unknown(_) => None,
        }
    }
}

fn same<'a>(a: &[Value<'a>], b: &[Value<'a>], depth: usize) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    let mut all = Some(true);
    for (a, b) in a.iter().zip(b) {
        match a.equals_below(b, depth + 1) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}
