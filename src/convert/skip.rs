//! Skipped code: the names that it may change are unknown afterwards, and code that may register watches needs manual
//! work.

use std::rc::Rc;

use ruff_python_ast::Stmt;
use ruff_python_ast::visitor::Visitor;
use ruff_text_size::Ranged;

use super::names::Names;
use super::script::{Item, Script};
use super::value::{Builtin, Value, Why};

/// Python functions that run code from elsewhere, possibly another file of watches.
pub(super) const RUNS_CODE: [&str; 4] = ["exec", "execfile", "eval", "__import__"];

impl<'a> Script<'a> {
    pub(super) fn skip(&mut self, statement: &'a Stmt, why: &str) {
        let line = self.lines.line(statement.start());
        self.skip_because(statement, Why { text: why.into(), line });
    }

    /// Skips a statement: the names that it may change are unknown afterwards.
    pub(super) fn skip_because(&mut self, statement: &'a Stmt, why: Why) {
        let mut names = Names::default();
        names.visit_stmt(statement);
        let registers = self.may_register(&names);
        for name in &names.changed {
            if let Some(value) = self.look_up(name) {
                poison(&value, &why.text, why.line);
            }
        }
        for name in &names.stored {
            self.bind(name, Value::Unknown(Rc::new(why.clone())));
        }
        let range = statement.range();
        if registers {
            self.items.push(Item::Left { range, why });
        } else {
            let what = format!("it is not a watch; {}", why.text);
            self.items.push(Item::Note { range, what });
        }
    }

    /// Whether a call of one of these names registers a watch.
    pub(super) fn may_register(&self, names: &Names) -> bool {
        names.called.iter().any(|name| {
            name == "RegisterWatch"
                || RUNS_CODE.contains(&name.as_str())
                || match self.look_up(name) {
                    Some(Value::Builtin(builtin)) => builtin == Builtin::RegisterWatch,
                    Some(Value::Function(function)) => {
                        let mut inner = Names::default();
                        inner.visit_body(&function.body);
                        inner.called.iter().any(|called| {
                            called != name
                                && (called == "RegisterWatch"
                                    || self
                                        .look_up(called)
                                        .is_some_and(|value| matches!(value, Value::Function(_))))
                        })
                    }
                    Some(_) | None => false,
                }
        })
    }
}

/// Marks the contents of a list or dictionary as unknown, under all of its names.
pub(super) fn poison(value: &Value<'_>, why: &str, line: usize) {
    match value {
        Value::List(items) => *items.borrow_mut() = vec![Value::unknown(why, line)],
        Value::Dict(items) => {
            *items.borrow_mut() = vec![(Value::unknown(why, line), Value::unknown(why, line))];
        }
        Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Str(_)
        | Value::Tuple(_)
        | Value::Exec(_)
        | Value::Builtin(_)
        | Value::Function(_)
        | Value::Module(_)
        | Value::Account(_)
        | Value::Unknown(_) => {}
    }
}
