//! Evaluates expressions whose value is the same on every machine and at every time.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "anything not listed is unknown, including what a later parser adds"
)]

use std::rc::Rc;

use ruff_python_ast::{
    BoolOp, ConversionFlag, Expr, ExprFString, FStringPart, InterpolatedStringElement, Number, UnaryOp,
};
use ruff_text_size::Ranged;

use super::operate::{compare, element};
use super::script::Script;
use super::skip::RUNS_CODE;
use super::text;
use super::value::{Value, Why};

/// Deepest nesting of expressions that is followed; real configurations nest a handful.
const DEEPEST_EXPRESSION: usize = 100;

impl<'a> Script<'a> {
    pub(super) fn evaluate(&mut self, expression: &'a Expr) -> Value<'a> {
        self.nested(expression, 0)
    }

    pub(super) fn unknown(&self, at: &impl Ranged, text: impl Into<String>) -> Value<'a> {
        Value::unknown(text, self.lines.line(at.start()))
    }

    #[expect(clippy::too_many_lines, reason = "one short arm for each kind of expression")]
    pub(super) fn nested(&mut self, expression: &'a Expr, depth: usize) -> Value<'a> {
        if depth > DEEPEST_EXPRESSION {
            return self.unknown(expression, "it is nested too deep");
        }
        let below = depth + 1;
        match expression {
            Expr::StringLiteral(literal) => {
                let written = self.source.get(literal.range().to_std_range()).unwrap_or_default();
                let parts = literal.value.iter().map(|part| self.source.get(part.range().to_std_range()));
                if parts.into_iter().flatten().any(text::differs_in_python_2) {
                    self.unknown(expression, format!("Python 2 reads {written} differently from Python 3"))
                } else {
                    Value::text(literal.value.to_str())
                }
            }
            Expr::BytesLiteral(literal) => match String::from_utf8(literal.value.bytes().collect()) {
                Ok(text) => Value::text(text),
                Err(_) => self.unknown(expression, "it is bytes that are not UTF-8 text"),
            },
            Expr::NumberLiteral(literal) => match &literal.value {
                Number::Int(number) => number
                    .as_i64()
                    .map_or_else(|| self.unknown(expression, "a number is too large"), Value::Int),
                Number::Float(number) => Value::Float(*number),
                Number::Complex { .. } => self.unknown(expression, "it is a complex number"),
            },
            Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
            Expr::NoneLiteral(_) => Value::None,
            Expr::Name(name) => self.look_up(&name.id).unwrap_or_else(|| {
                let why = if RUNS_CODE.contains(&name.id.as_str()) {
                    "runs code that is not followed"
                } else {
                    "is not set in this file"
                };
                self.unknown(expression, format!("`{}` {why}", name.id))
            }),
            Expr::List(list) => Value::list(self.all(&list.elts, below)),
            Expr::Tuple(tuple) => Value::Tuple(self.all(&tuple.elts, below).into()),
            Expr::Dict(dict) => {
                let mut items = Vec::new();
                for item in &dict.items {
                    let value = self.nested(&item.value, below);
                    match (&item.key, value) {
                        (Some(key), value) => items.push((self.nested(key, below), value)),
                        (None, Value::Dict(more)) => items.extend(more.borrow().iter().cloned()),
                        (None, _) => {
                            return self.unknown(expression, "a dictionary is merged with an unknown value");
                        }
                    }
                }
                Value::dict(items)
            }
            Expr::FString(string) => self.interpolated(expression, string, below),
            Expr::BinOp(operation) => {
                let left = self.nested(&operation.left, below);
                let right = self.nested(&operation.right, below);
                self.operate(expression, &left, operation.op, &right)
            }
            Expr::BoolOp(operation) => {
                let mut last = Value::None;
                for value in &operation.values {
                    last = self.nested(value, below);
                    match (operation.op, last.truth()) {
                        (BoolOp::And, Some(false)) | (BoolOp::Or, Some(true)) => return last,
                        (BoolOp::And | BoolOp::Or, Some(_)) => {}
                        (BoolOp::And | BoolOp::Or, None) => return self.not_known(expression, &last),
                    }
                }
                last
            }
            Expr::UnaryOp(operation) => {
                let value = self.nested(&operation.operand, below);
                match (operation.op, &value) {
                    (UnaryOp::Not, value) => value
                        .truth()
                        .map_or_else(|| self.not_known(expression, value), |truth| Value::Bool(!truth)),
                    (UnaryOp::USub, Value::Int(number)) => Value::Int(number.saturating_neg()),
                    (UnaryOp::USub, Value::Float(number)) => Value::Float(-number),
                    (UnaryOp::UAdd, Value::Int(_) | Value::Float(_)) => value,
                    (UnaryOp::USub | UnaryOp::UAdd | UnaryOp::Invert, _) => {
                        self.not_known(expression, &value)
                    }
                }
            }
            Expr::Compare(comparison) => {
                let mut left = self.nested(&comparison.left, below);
                for (operator, right) in comparison.ops.iter().zip(&comparison.comparators) {
                    let right = self.nested(right, below);
                    match compare(&left, *operator, &right) {
                        Some(true) => left = right,
                        Some(false) => return Value::Bool(false),
                        None => {
                            let unknown = if matches!(left, Value::Unknown(_)) { left } else { right };
                            return self.not_known(expression, &unknown);
                        }
                    }
                }
                Value::Bool(true)
            }
            Expr::If(choice) => {
                let test = self.nested(&choice.test, below);
                match test.truth() {
                    Some(true) => self.nested(&choice.body, below),
                    Some(false) => self.nested(&choice.orelse, below),
                    None => self.not_known(expression, &test),
                }
            }
            Expr::Attribute(attribute) => {
                let base = self.nested(&attribute.value, below);
                match &base {
                    Value::Module(module) => {
                        self.of_module(module, &attribute.attr, self.lines.line(expression.start()))
                    }
                    Value::Account(name) if matches!(attribute.attr.as_str(), "pw_uid" | "gr_gid") => {
                        Value::Str(name.clone())
                    }
                    other => self.not_known(expression, other),
                }
            }
            Expr::Subscript(subscript) => {
                let base = self.nested(&subscript.value, below);
                let key = self.nested(&subscript.slice, below);
                element(&base, &key).unwrap_or_else(|| {
                    let unknown = if matches!(base, Value::Unknown(_)) { &base } else { &key };
                    self.not_known(expression, unknown)
                })
            }
            Expr::ListComp(list) => self.comprehension(expression, &list.elt, &list.generators, below),
            Expr::Generator(list) => self.comprehension(expression, &list.elt, &list.generators, below),
            Expr::Call(call) => self.called(expression, call, below),
            Expr::Lambda(_) => self.unknown(expression, "it is a lambda, which is Python code"),
            Expr::Named(named) => {
                let value = self.nested(&named.value, below);
                self.assign(&named.target, value.clone());
                value
            }
            Expr::Set(_)
            | Expr::SetComp(_)
            | Expr::DictComp(_)
            | Expr::Await(_)
            | Expr::Yield(_)
            | Expr::YieldFrom(_)
            | Expr::TString(_)
            | Expr::EllipsisLiteral(_)
            | Expr::Starred(_)
            | Expr::Slice(_)
            | Expr::IpyEscapeCommand(_) => {
                let written = self.written(expression);
                self.unknown(expression, format!("`{written}` is not translated"))
            }
        }
    }

    fn interpolated(&mut self, expression: &'a Expr, string: &'a ExprFString, below: usize) -> Value<'a> {
        let mut result = String::new();
        for part in &string.value {
            let elements = match part {
                FStringPart::Literal(literal) => {
                    result.push_str(literal);
                    continue;
                }
                FStringPart::FString(part) => &part.elements,
            };
            for element in elements {
                match element {
                    InterpolatedStringElement::Literal(literal) => result.push_str(&literal.value),
                    InterpolatedStringElement::Interpolation(place) => {
                        let plain = matches!(place.conversion, ConversionFlag::None | ConversionFlag::Str)
                            && place.format_spec.is_none()
                            && place.debug_text.is_none();
                        let value = self.nested(&place.expression, below);
                        match text::show(&value) {
                            Ok(text) if plain => result.push_str(&text),
                            Ok(_) => return self.unknown(expression, "a format is not translated"),
                            Err(why) => return self.unknown(expression, why),
                        }
                    }
                }
            }
        }
        Value::text(result)
    }

    /// The first line of an expression, for messages.
    fn written(&self, expression: &Expr) -> String {
        let text = self.source.get(expression.range().to_std_range()).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let short: String = line.chars().take(60).collect();
        if short.len() < text.len() { format!("{short}…") } else { short }
    }

    /// Unknown, because of that operand or because the operation is not supported.
    pub(super) fn not_known(&self, expression: &Expr, value: &Value<'a>) -> Value<'a> {
        match value {
            Value::Unknown(why) => Value::Unknown(why.clone()),
            Value::None
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Str(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
            | Value::Exec(_)
            | Value::Builtin(_)
            | Value::Function(_)
            | Value::Module(_)
            | Value::Account(_) => {
                self.unknown(expression, format!("`{}` is computed when it runs", self.written(expression)))
            }
        }
    }

    pub(super) fn all(&mut self, elements: &'a [Expr], depth: usize) -> Vec<Value<'a>> {
        let mut values = Vec::new();
        for element in elements {
            if let Expr::Starred(starred) = element {
                let inner = self.nested(&starred.value, depth);
                match Self::elements(&inner, self.lines.line(element.start())) {
                    Ok(items) => values.extend(items),
                    Err(why) => values.push(Value::Unknown(Rc::new(why))),
                }
            } else {
                values.push(self.nested(element, depth));
            }
        }
        values
    }

    /// The elements that a `for` over the value visits.
    pub(super) fn elements(value: &Value<'a>, line: usize) -> Result<Vec<Value<'a>>, Why> {
        match value {
            Value::List(items) => Ok(items.borrow().clone()),
            Value::Tuple(items) => Ok(items.to_vec()),
            Value::Dict(items) => Ok(items.borrow().iter().map(|(key, _)| key.clone()).collect()),
            Value::Str(text) => Ok(text.chars().map(|c| Value::text(c.to_string())).collect()),
            Value::Unknown(why) => Err((**why).clone()),
            Value::None
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Exec(_)
            | Value::Builtin(_)
            | Value::Function(_)
            | Value::Module(_)
            | Value::Account(_) => Err(Why { text: format!("{} has no elements", value.kind()), line }),
        }
    }

    fn comprehension(
        &mut self,
        at: &'a Expr,
        element: &'a Expr,
        generators: &'a [ruff_python_ast::Comprehension],
        depth: usize,
    ) -> Value<'a> {
        let [generator] = generators else {
            return self.unknown(at, "a list is built by two loops at once");
        };
        let iter = self.nested(&generator.iter, depth);
        let items = match Self::elements(&iter, self.lines.line(generator.range.start())) {
            Ok(items) if items.len() <= 100_000 => items,
            Ok(_) => return self.unknown(at, "a list is too long"),
            Err(why) => return Value::Unknown(Rc::new(why)),
        };
        let mut values = Vec::new();
        'items: for item in items {
            self.assign(&generator.target, item);
            for test in &generator.ifs {
                let test = self.nested(test, depth);
                match test.truth() {
                    Some(true) => {}
                    Some(false) => continue 'items,
                    None => return self.not_known(at, &test),
                }
            }
            values.push(self.nested(element, depth));
        }
        Value::list(values)
    }

    /// A name in a module.
    pub(super) fn of_module(&self, module: &str, name: &str, line: usize) -> Value<'a> {
        match (module, name) {
            ("twitcher" | "twitcher.core" | "twitcher.config" | "core" | "config", _)
                if self.scopes.first().is_some_and(|names| {
                    !matches!(names.get(name), None | Some(Value::Module(_) | Value::Unknown(_)))
                }) =>
            {
                self.scopes.first().and_then(|names| names.get(name)).cloned().unwrap_or(Value::None)
            }
            ("signal", name) if name.starts_with("SIG") => match name.parse::<nix::sys::signal::Signal>() {
                Ok(signal) => Value::Int(i64::from(signal as i32)),
                Err(_) => Value::unknown(format!("`signal.{name}` is not known"), line),
            },
            ("os", "linesep") => Value::text("\n"),
            ("os" | "os.path", "sep") => Value::text("/"),
            ("os" | "os.path" | "pwd" | "grp" | "logging" | "syslog" | "twitcher" | "sys", name) => {
                Value::Module(format!("{module}.{name}").into())
            }
            (module, name) => Value::unknown(format!("`{module}.{name}` is computed when it runs"), line),
        }
    }
}
