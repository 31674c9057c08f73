//! Assignments and imports: the statements that bind names.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "anything not listed is unknown, including what a later parser adds"
)]

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{self as ast, Expr};
use ruff_text_size::Ranged;

use super::names::Names;
use super::script::Script;
use super::skip::poison;
use super::value::Value;

impl<'a> Script<'a> {
    pub(super) fn bind(&mut self, name: &str, value: Value<'a>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned(), value);
        }
    }

    pub(super) fn look_up(&self, name: &str) -> Option<Value<'a>> {
        // A function sees its own names and the file's, not its caller's.
        let inner = self.scopes.last()?;
        inner.get(name).or_else(|| self.scopes.first()?.get(name)).cloned()
    }

    pub(super) fn import(&mut self, import: &'a ast::StmtImport) {
        for alias in &import.names {
            let module = alias.name.as_str();
            let top = module.split('.').next().unwrap_or(module);
            match &alias.asname {
                Some(name) => self.bind(name, Value::Module(module.into())),
                None => self.bind(top, Value::Module(top.into())),
            }
        }
    }

    pub(super) fn import_from(&mut self, import: &'a ast::StmtImportFrom) {
        let module = import.module.as_ref().map_or("", ast::Identifier::as_str);
        for alias in &import.names {
            let name = alias.asname.as_ref().unwrap_or(&alias.name);
            let value = self.of_module(module, &alias.name, self.lines.line(import.range.start()));
            // `from twitcher import *`: these names are predefined.
            if alias.name.as_str() != "*" {
                self.bind(name, value);
            }
        }
    }

    pub(super) fn assign(&mut self, target: &'a Expr, value: Value<'a>) {
        let line = self.lines.line(target.start());
        match target {
            Expr::Name(name) => self.bind(&name.id, value),
            Expr::Tuple(ast::ExprTuple { elts, .. }) | Expr::List(ast::ExprList { elts, .. }) => {
                let items = Self::elements(&value, line);
                match items {
                    Ok(items) if items.len() == elts.len() => {
                        for (target, item) in elts.iter().zip(items) {
                            self.assign(target, item);
                        }
                    }
                    Ok(_) => self.forget(elts, "a list and its names differ in length", line),
                    Err(why) => self.forget(elts, &why.text, why.line),
                }
            }
            Expr::Subscript(subscript) => {
                let base = self.evaluate(&subscript.value);
                let key = self.evaluate(&subscript.slice);
                match (&base, &key) {
                    (Value::Dict(items), Value::Str(_) | Value::Int(_)) => {
                        let mut items = items.borrow_mut();
                        items.retain(|(known, _)| known.equals(&key) != Some(true));
                        items.push((key, value));
                    }
                    _ => poison(&base, "it is changed in a way that is not followed", line),
                }
            }
            _ => self.forget(std::slice::from_ref(target), "it is set in a way that is not followed", line),
        }
    }

    fn forget(&mut self, targets: &'a [Expr], why: &str, line: usize) {
        for target in targets {
            let mut names = Names::default();
            names.visit_expr(target);
            for name in names.stored {
                self.bind(&name, Value::unknown(why, line));
            }
        }
    }
}
