//! Follows the statements of an old configuration as far as their values are constant, and collects its watches.
//!
//! Nothing is run: anything that would ask the machine, the network or the clock is *unknown*, and a watch that
//! depends on it needs manual work.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "anything not listed is unknown, including what a later parser adds"
)]

use std::collections::BTreeMap;

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_text_size::{Ranged, TextRange};

use super::lines::Lines;
use super::names::Names;
use super::register::Registration;
use super::value::{Builtin, Value, Why};

/// Most statements and loop turns that are followed.
const MOST_STEPS: usize = 100_000;
/// Deepest nesting of calls of functions of the file.
const DEEPEST_CALL: usize = 20;

/// What a piece of the file became, in the order of the file.
#[derive(Debug)]
pub(super) enum Item {
    /// A call of `RegisterWatch` with what is known of it.
    Watch(Box<Registration>),
    /// A piece that may register watches that cannot be determined.
    Left { range: TextRange, why: Why },
    /// A piece that registers no watch.
    Note { range: TextRange, what: String },
}

/// How control left a block of statements.
pub(super) enum Flow<'a> {
    Next,
    Break,
    Continue,
    Return(Value<'a>),
}

/// The state of the interpreter.
pub(super) struct Script<'a> {
    pub(super) source: &'a str,
    pub(super) lines: Lines<'a>,
    /// Syntax errors, with the parser's message.
    errors: Vec<(TextRange, String)>,
    /// Scopes; the last one is the innermost function's.
    pub(super) scopes: Vec<BTreeMap<String, Value<'a>>>,
    pub(super) items: Vec<Item>,
    steps: usize,
}

impl<'a> Script<'a> {
    pub(super) fn new(source: &'a str, errors: Vec<(TextRange, String)>) -> Self {
        let mut names: BTreeMap<String, Value<'a>> = [
            ("RegisterWatch", Builtin::RegisterWatch),
            ("Exec", Builtin::Exec),
            ("str", Builtin::Str),
            ("int", Builtin::Int),
            ("bool", Builtin::Bool),
            ("len", Builtin::Len),
            ("range", Builtin::Range),
            ("xrange", Builtin::Range),
            ("list", Builtin::List),
            ("tuple", Builtin::Tuple),
            ("dict", Builtin::Dict),
            ("sorted", Builtin::Sorted),
            ("reversed", Builtin::Reversed),
            ("enumerate", Builtin::Enumerate),
            ("zip", Builtin::Zip),
            ("print", Builtin::Print),
        ]
        .map(|(name, builtin)| (name.to_owned(), Value::Builtin(builtin)))
        .into();
        // The old program defined these constants as numbers, and compared nothing but the number.
        for (name, number) in [("QUEUE", 1), ("PARALLEL", 2), ("DISCARD", 3), ("WATCH_DATA", 1)] {
            names.insert(name.into(), Value::Int(number));
        }
        names.insert("WATCH_CHILDREN".into(), Value::Int(2));
        // The documentation also allows using the namespace as a module.
        names.insert("twitcher".into(), Value::Module("twitcher".into()));
        Self { source, lines: Lines::new(source), errors, scopes: vec![names], items: Vec::new(), steps: 0 }
    }

    /// Follows the whole file.
    pub(super) fn follow(&mut self, body: &'a [Stmt]) {
        let mut end = 0;
        for statement in body {
            self.gap(end, statement.start().to_usize());
            end = end.max(statement.end().to_usize());
            match self.statement(statement) {
                Flow::Next => {}
                Flow::Break | Flow::Continue | Flow::Return(_) => {
                    self.left(statement.range(), "this ends a loop or a function that is not there");
                }
            }
        }
        self.gap(end, self.source.len());
    }

    /// Source that the parser rejected must not get lost.
    fn gap(&mut self, from: usize, to: usize) {
        let Some(text) = self.source.get(from..to) else { return };
        let mut offset = from;
        let mut found: Option<(usize, usize)> = None;
        for line in text.split_inclusive('\n') {
            let code = line.split('#').next().unwrap_or_default().trim_matches([' ', '\t', '\r', '\n', ';']);
            if !code.is_empty() && code != "\\" && code != "\u{feff}" {
                let start = found.map_or(offset, |(start, _)| start);
                found = Some((start, offset + line.trim_end().len()));
            }
            offset += line.len();
        }
        let Some((start, end)) = found else { return };
        let range = Lines::range(start, end);
        if self.source.get(start..end).is_some_and(|text| text.contains("RegisterWatch")) {
            self.left(range, "it is not Python");
        } else {
            self.items.push(Item::Note { range, what: "it is not Python 3".into() });
        }
    }

    fn left(&mut self, range: TextRange, text: impl Into<String>) {
        let line = self.lines.line(range.start());
        self.items.push(Item::Left { range, why: Why { text: text.into(), line } });
    }

    pub(super) fn block(&mut self, body: &'a [Stmt]) -> Flow<'a> {
        for statement in body {
            match self.statement(statement) {
                Flow::Next => {}
                other @ (Flow::Break | Flow::Continue | Flow::Return(_)) => return other,
            }
        }
        Flow::Next
    }

    /// Counts a step; false when the limit is reached.
    fn step(&mut self) -> bool {
        self.steps += 1;
        self.steps <= MOST_STEPS
    }

    fn statement(&mut self, statement: &'a Stmt) -> Flow<'a> {
        if !self.step() {
            if self.steps == MOST_STEPS + 1 {
                self.left(statement.range(), "it has more steps than are followed");
            }
            return Flow::Next;
        }
        let range = statement.range();
        if let Some((_, error)) = self.errors.iter().find(|(at, _)| touches(*at, range)) {
            let why = format!("Python 3 cannot read it ({error})");
            self.skip(statement, &why);
            return Flow::Next;
        }
        match statement {
            Stmt::Import(import) => self.import(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::FunctionDef(function) => {
                let value = if function.decorator_list.is_empty() && !function.is_async {
                    Value::Function(function)
                } else {
                    Value::unknown("a function with a decorator", self.lines.line(range.start()))
                };
                self.bind(&function.name, value);
            }
            Stmt::Assign(assign) => {
                let value = self.evaluate(&assign.value);
                for target in &assign.targets {
                    self.assign(target, value.clone());
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    let value = self.evaluate(value);
                    self.assign(&assign.target, value);
                }
            }
            Stmt::AugAssign(assign) => {
                let value = self.augmented(assign);
                self.assign(&assign.target, value);
            }
            Stmt::For(each) => return self.each(statement, each),
            Stmt::If(branch) => return self.branch(statement, branch),
            Stmt::Expr(expression) => {
                // Documentation strings and bare names have no effect.
                if !matches!(
                    *expression.value,
                    Expr::StringLiteral(_) | Expr::Name(_) | Expr::EllipsisLiteral(_)
                ) {
                    self.act(&expression.value);
                }
            }
            Stmt::Return(back) => {
                let value = back.value.as_deref().map_or(Value::None, |value| self.evaluate(value));
                return Flow::Return(value);
            }
            Stmt::Break(_) => return Flow::Break,
            Stmt::Continue(_) => return Flow::Continue,
            Stmt::Pass(_) => {}
            Stmt::ClassDef(_) => self.skip(statement, "it is a class"),
            Stmt::Delete(_) => self.skip(statement, "it deletes a name"),
            Stmt::TypeAlias(_) => self.skip(statement, "it names a type"),
            Stmt::While(_) => self.skip(statement, "it is a loop without a list"),
            Stmt::With(_) => self.skip(statement, "it opens something"),
            Stmt::Match(_) => self.skip(statement, "it is a `match`"),
            Stmt::Raise(_) => self.skip(statement, "it raises an error"),
            Stmt::Try(_) => self.skip(statement, "it is a `try`, and which way that goes is not known"),
            Stmt::Assert(_) => self.skip(statement, "it is an `assert`"),
            Stmt::Global(_) | Stmt::Nonlocal(_) => self.skip(statement, "it declares an outer name"),
            Stmt::IpyEscapeCommand(_) => self.skip(statement, "it is not Python"),
        }
        Flow::Next
    }

    fn each(&mut self, statement: &'a Stmt, each: &'a ast::StmtFor) -> Flow<'a> {
        let iter = self.evaluate(&each.iter);
        let items = match Self::elements(&iter, self.lines.line(each.iter.start())) {
            Ok(items) if !each.is_async => items,
            Ok(_) => {
                self.skip(statement, "it is an `async for`");
                return Flow::Next;
            }
            Err(why) => {
                self.skip_because(
                    statement,
                    Why { text: format!("its list is not known: {}", why.text), ..why },
                );
                return Flow::Next;
            }
        };
        let mut broken = false;
        for item in items {
            if !self.step() {
                self.left(statement.range(), "it has more steps than are followed");
                return Flow::Next;
            }
            self.assign(&each.target, item);
            match self.block(&each.body) {
                Flow::Next | Flow::Continue => {}
                Flow::Break => {
                    broken = true;
                    break;
                }
                back @ Flow::Return(_) => return back,
            }
        }
        if broken { Flow::Next } else { self.block(&each.orelse) }
    }

    fn branch(&mut self, statement: &'a Stmt, branch: &'a ast::StmtIf) -> Flow<'a> {
        let clauses = std::iter::once((Some(&*branch.test), &branch.body))
            .chain(branch.elif_else_clauses.iter().map(|clause| (clause.test.as_ref(), &clause.body)));
        for (test, body) in clauses {
            let Some(test) = test else { return self.block(body) };
            let value = self.evaluate(test);
            match value.truth() {
                Some(true) => return self.block(body),
                Some(false) => {}
                None => {
                    let why = match &value {
                        Value::Unknown(why) => format!("its condition is not known: {}", why.text),
                        other => format!("its condition is not known: it asks for {}", other.kind()),
                    };
                    self.skip(statement, &why);
                    return Flow::Next;
                }
            }
        }
        Flow::Next
    }

    /// An expression statement, evaluated for its effect.
    fn act(&mut self, expression: &'a Expr) {
        let before = self.items.len();
        let value = self.evaluate(expression);
        if self.items.len() == before
            && let Value::Unknown(why) = value
        {
            let range = expression.range();
            let mut names = Names::default();
            names.visit_expr(expression);
            if self.may_register(&names) {
                self.items.push(Item::Left { range, why: (*why).clone() });
            } else {
                self.items.push(Item::Note { range, what: "it is not a watch".into() });
            }
        }
    }

    /// Calls a function of the file.
    pub(super) fn call(
        &mut self,
        function: &'a ast::StmtFunctionDef,
        positional: Vec<Value<'a>>,
        mut named: Vec<(String, Value<'a>)>,
        line: usize,
    ) -> Value<'a> {
        let refuse = |what: &str| Value::unknown(format!("`{}()` {what}", function.name), line);
        if self.scopes.len() > DEEPEST_CALL {
            return refuse("recurses too deep");
        }
        let parameters = &function.parameters;
        let mut scope = BTreeMap::new();
        let mut positional = positional.into_iter();
        let places = parameters.posonlyargs.iter().chain(&parameters.args).map(|place| (place, true));
        for (place, by_position) in places.chain(parameters.kwonlyargs.iter().map(|place| (place, false))) {
            let name = place.parameter.name.as_str();
            let value = if let Some(value) = by_position.then(|| positional.next()).flatten() {
                value
            } else if let Some(at) = named.iter().position(|(known, _)| known == name) {
                named.swap_remove(at).1
            } else if let Some(default) = place.default() {
                self.evaluate(default)
            } else {
                return refuse(&format!("is called without `{name}`"));
            };
            scope.insert(name.to_owned(), value);
        }
        if let Some(rest) = &parameters.vararg {
            scope.insert(rest.name.to_string(), Value::Tuple(positional.by_ref().collect()));
        }
        if let Some(rest) = &parameters.kwarg {
            let rest_of_names = named.drain(..).map(|(name, value)| (Value::text(name), value)).collect();
            scope.insert(rest.name.to_string(), Value::dict(rest_of_names));
        }
        if positional.next().is_some() || !named.is_empty() {
            return refuse("is called with unexpected arguments");
        }
        self.scopes.push(scope);
        let flow = self.block(&function.body);
        self.scopes.pop();
        match flow {
            Flow::Return(value) => value,
            Flow::Next | Flow::Break | Flow::Continue => Value::None,
        }
    }
}

/// An error at the very end of a statement belongs to it; one that ends where a statement begins belongs to the
/// statement before.
fn touches(error: TextRange, statement: TextRange) -> bool {
    error.start() <= statement.end()
        && (error.end() > statement.start() || error.start() == statement.start())
}
