//! The operators and functions of expressions, and how they are called.

use serde::{Deserialize, Serialize};

/// An operator or a function. How many values it takes was checked when the expression was compiled; what types they have,
/// as far as that can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[allow(missing_docs)] // The table below says what they are.
pub enum Function {
    And,
    Or,
    Not,
    Conditional,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Index,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Negate,
    Size,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    UpperAscii,
    Trim,
    Split,
    Join,
    Bool,
    Int,
    Double,
    String,
    Timestamp,
    Duration,
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
    Cidr,
    ContainsIp,
    IsIp,
}

impl Function {
    /// The name that each has in the parser's tree, for operators the one that it gives them.
    pub const NAMES: [(&'static str, Function); 46] = [
        ("_&&_", Function::And),
        ("_||_", Function::Or),
        ("!_", Function::Not),
        ("_?_:_", Function::Conditional),
        ("_==_", Function::Equal),
        ("_!=_", Function::NotEqual),
        ("_<_", Function::Less),
        ("_<=_", Function::LessEqual),
        ("_>_", Function::Greater),
        ("_>=_", Function::GreaterEqual),
        ("@in", Function::In),
        ("_[_]", Function::Index),
        ("_+_", Function::Add),
        ("_-_", Function::Subtract),
        ("_*_", Function::Multiply),
        ("_/_", Function::Divide),
        ("_%_", Function::Remainder),
        ("-_", Function::Negate),
        ("size", Function::Size),
        ("contains", Function::Contains),
        ("startsWith", Function::StartsWith),
        ("endsWith", Function::EndsWith),
        ("lowerAscii", Function::LowerAscii),
        ("upperAscii", Function::UpperAscii),
        ("trim", Function::Trim),
        ("split", Function::Split),
        ("join", Function::Join),
        ("bool", Function::Bool),
        ("int", Function::Int),
        ("double", Function::Double),
        ("string", Function::String),
        ("timestamp", Function::Timestamp),
        ("duration", Function::Duration),
        ("getFullYear", Function::FullYear),
        ("getMonth", Function::Month),
        ("getDate", Function::Date),
        ("getDayOfMonth", Function::DayOfMonth),
        ("getDayOfWeek", Function::DayOfWeek),
        ("getDayOfYear", Function::DayOfYear),
        ("getHours", Function::Hours),
        ("getMinutes", Function::Minutes),
        ("getSeconds", Function::Seconds),
        ("getMilliseconds", Function::Milliseconds),
        ("cidr", Function::Cidr),
        ("containsIP", Function::ContainsIp),
        ("isIP", Function::IsIp),
    ];
}

/// In the artefact, a function is its place among the names.
impl From<Function> for u8 {
    fn from(function: Function) -> u8 {
        let place = Function::NAMES.iter().position(|(_, known)| *known == function);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }
}

impl TryFrom<u8> for Function {
    type Error = &'static str;

    fn try_from(place: u8) -> Result<Self, Self::Error> {
        let named = Function::NAMES.get(usize::from(place));
        named.map(|(_, function)| *function).ok_or("there is no function of this number")
    }
}
