//! Operators, comparisons and subscripts of known values.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "anything not listed is unknown, including what a later parser adds"
)]

use std::rc::Rc;

use ruff_python_ast::{CmpOp, Expr, Operator, StmtAugAssign};

use super::script::Script;
use super::skip::poison;
use super::text;
use super::value::Value;

impl<'a> Script<'a> {
    pub(super) fn operate(
        &mut self,
        at: &'a Expr,
        left: &Value<'a>,
        operator: Operator,
        right: &Value<'a>,
    ) -> Value<'a> {
        let text = |result: Result<String, String>| match result {
            Ok(text) => Value::text(text),
            Err(why) => self.unknown(at, why),
        };
        match (left, operator, right) {
            (Value::Str(template), Operator::Mod, values) => text(text::percent(template, values)),
            (Value::Str(a), Operator::Add, Value::Str(b)) => {
                text(text::bounded_product(a.len() + b.len(), 1).map(|()| format!("{a}{b}")))
            }
            (Value::Str(a), Operator::Mult, Value::Int(times))
            | (Value::Int(times), Operator::Mult, Value::Str(a)) => {
                let times = usize::try_from(*times).unwrap_or(0);
                text(text::bounded_product(a.len(), times).map(|()| a.repeat(times)))
            }
            (Value::List(a), Operator::Add, Value::List(b)) => {
                let joined: Vec<_> = a.borrow().iter().chain(b.borrow().iter()).cloned().collect();
                match text::bounded_product(joined.len(), 8) {
                    Ok(()) => Value::list(joined),
                    Err(why) => self.unknown(at, why),
                }
            }
            (Value::Tuple(a), Operator::Add, Value::Tuple(b)) => {
                let joined: Rc<[_]> = a.iter().chain(&**b).cloned().collect();
                match text::bounded_product(joined.len(), 8) {
                    Ok(()) => Value::Tuple(joined),
                    Err(why) => self.unknown(at, why),
                }
            }
            (Value::Int(a), operator, Value::Int(b)) => {
                let result = match operator {
                    Operator::Add => a.checked_add(*b),
                    Operator::Sub => a.checked_sub(*b),
                    Operator::Mult => a.checked_mul(*b),
                    // In Python 2, `/` between integers rounded down.
                    Operator::Div | Operator::FloorDiv => a.checked_div_euclid(*b).filter(|_| *b > 0),
                    Operator::Mod => a.checked_rem_euclid(*b).filter(|_| *b > 0),
                    Operator::BitOr => Some(a | b),
                    Operator::BitAnd => Some(a & b),
                    Operator::BitXor
                    | Operator::LShift
                    | Operator::RShift
                    | Operator::Pow
                    | Operator::MatMult => None,
                };
                result.map_or_else(|| self.not_known(at, &Value::None), Value::Int)
            }
            (Value::Int(_) | Value::Float(_), operator, Value::Int(_) | Value::Float(_)) => {
                let (Some(a), Some(b)) = (left.number(), right.number()) else {
                    return self.not_known(at, left);
                };
                match operator {
                    Operator::Add => Value::Float(a + b),
                    Operator::Sub => Value::Float(a - b),
                    Operator::Mult => Value::Float(a * b),
                    Operator::Div if b != 0.0 => Value::Float(a / b),
                    _ => self.not_known(at, left),
                }
            }
            (Value::Unknown(_), _, _) => left.clone(),
            _ => self.not_known(at, right),
        }
    }

    /// `target += value`.
    pub(super) fn augmented(&mut self, assign: &'a StmtAugAssign) -> Value<'a> {
        let value = self.evaluate(&assign.value);
        let target = self.evaluate(&assign.target);
        // A list is extended in place, under all of its names.
        if let (Value::List(items), Operator::Add) = (&target, assign.op) {
            match Self::elements(&value, self.lines.line(assign.range.start())) {
                Ok(more) if text::bounded_product(items.borrow().len() + more.len(), 8).is_ok() => {
                    items.borrow_mut().extend(more);
                }
                Ok(_) => poison(&target, "a list grows too long", self.lines.line(assign.range.start())),
                Err(why) => poison(&target, &why.text, why.line),
            }
            return target;
        }
        self.operate(&assign.value, &target, assign.op, &value)
    }
}

/// `base[key]`; `None` if unknown.
pub(super) fn element<'a>(base: &Value<'a>, key: &Value<'a>) -> Option<Value<'a>> {
    let at = |items: &[Value<'a>]| {
        let Value::Int(index) = key else { return None };
        let index = if *index < 0 { index.checked_add(i64::try_from(items.len()).ok()?)? } else { *index };
        items.get(usize::try_from(index).ok()?).cloned()
    };
    match base {
        Value::List(items) => {
            let items = items.borrow();
            // One unknown element may stand for any number of elements.
            match &items[..] {
                [unknown @ Value::Unknown(_)] => Some(unknown.clone()),
                items => at(items),
            }
        }
        Value::Tuple(items) => at(items),
        Value::Dict(items) => {
            let items = items.borrow();
            if let Some((unknown @ Value::Unknown(_), _)) =
                items.iter().find(|(key, _)| matches!(key, Value::Unknown(_)))
            {
                return Some(unknown.clone());
            }
            items
                .iter()
                .rev()
                .find(|(known, _)| known.equals(key) == Some(true))
                .map(|(_, value)| value.clone())
        }
        // The third field of an entry of passwd(5) or group(5) is its number.
        Value::Account(name) if matches!(key, Value::Int(2)) => Some(Value::Str(name.clone())),
        Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Str(_)
        | Value::Exec(_)
        | Value::Builtin(_)
        | Value::Function(_)
        | Value::Module(_)
        | Value::Account(_)
        | Value::Unknown(_) => None,
    }
}

/// The result of a comparison; `None` if unknown.
pub(super) fn compare<'a>(left: &Value<'a>, operator: CmpOp, right: &Value<'a>) -> Option<bool> {
    let order = || match (left, right) {
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        _ => left.number()?.partial_cmp(&right.number()?),
    };
    match operator {
        CmpOp::Eq | CmpOp::Is => left.equals(right),
        CmpOp::NotEq | CmpOp::IsNot => left.equals(right).map(|same| !same),
        CmpOp::Lt => order().map(std::cmp::Ordering::is_lt),
        CmpOp::LtE => order().map(std::cmp::Ordering::is_le),
        CmpOp::Gt => order().map(std::cmp::Ordering::is_gt),
        CmpOp::GtE => order().map(std::cmp::Ordering::is_ge),
        CmpOp::In => contains(left, right),
        CmpOp::NotIn => contains(left, right).map(|found| !found),
    }
}

fn contains<'a>(needle: &Value<'a>, hay: &Value<'a>) -> Option<bool> {
    let any = |items: &mut dyn Iterator<Item = Option<bool>>| {
        let mut found = Some(false);
        for item in items {
            match item {
                Some(true) => return Some(true),
                Some(false) => {}
                None => found = None,
            }
        }
        found
    };
    match (needle, hay) {
        (Value::Str(needle), Value::Str(hay)) => Some(hay.contains(&**needle)),
        (_, Value::List(items)) => any(&mut items.borrow().iter().map(|item| item.equals(needle))),
        (_, Value::Tuple(items)) => any(&mut items.iter().map(|item| item.equals(needle))),
        (_, Value::Dict(items)) => any(&mut items.borrow().iter().map(|(key, _)| key.equals(needle))),
        _ => None,
    }
}
