//! What the parser makes: expressions as written, each with its place.

use pdata::Value;

/// An expression and where it begins, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr {
    pub(crate) at: usize,
    pub(crate) kind: ExprKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ExprKind {
    Literal(Value),
    /// A word in capitals: one of the names of numbers.
    Enum(String),
    List(Vec<Expr>),
    Map(Vec<(String, Expr)>),
    Path(Path),
    Call(Call),
    Negative(Box<Expr>),
    Math(MathOp, Box<Expr>, Box<Expr>),
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

/// `resource.attributes["a"]["b"]`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    /// The words between the dots.
    pub(crate) words: Vec<String>,
    pub(crate) keys: Vec<Expr>,
}

/// A function with its arguments; what is picked from the result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) keys: Vec<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Argument {
    /// In `name=value`.
    pub(crate) name: Option<String>,
    pub(crate) value: Expr,
}

/// An editor, and when it runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub(crate) editor: Call,
    pub(crate) condition: Option<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MathOp {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompareOp {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
