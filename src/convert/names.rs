//! The names that a skipped piece of code may change.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "anything not listed is unknown, including what a later parser adds"
)]

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Expr, ExprContext, Stmt};

/// The names that a piece of code sets, calls, and may change the contents of.
#[derive(Default)]
pub(super) struct Names {
    pub(super) stored: Vec<String>,
    pub(super) called: Vec<String>,
    pub(super) changed: Vec<String>,
}

impl<'a> Visitor<'a> for Names {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => self.stored.push(function.name.to_string()),
            Stmt::ClassDef(class) => self.stored.push(class.name.to_string()),
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    self.stored.push(name.split('.').next().unwrap_or(name).to_owned());
                }
            }
            Stmt::ImportFrom(import) => {
                for alias in &import.names {
                    self.stored.push(alias.asname.as_ref().unwrap_or(&alias.name).to_string());
                }
            }
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) if name.ctx != ExprContext::Load => self.stored.push(name.id.to_string()),
            Expr::Call(call) => {
                match &*call.func {
                    Expr::Name(name) => self.called.push(name.id.to_string()),
                    Expr::Attribute(attribute) => {
                        self.called.push(attribute.attr.to_string());
                        self.changed.extend(base_name(&attribute.value));
                    }
                    _ => {}
                }
                self.changed.extend(call.arguments.args.iter().filter_map(base_name));
                self.changed.extend(call.arguments.keywords.iter().filter_map(|word| base_name(&word.value)));
            }
            Expr::Subscript(subscript) if subscript.ctx != ExprContext::Load => {
                self.changed.extend(base_name(&subscript.value));
            }
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }
}

fn base_name(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => base_name(&attribute.value),
        Expr::Subscript(subscript) => base_name(&subscript.value),
        _ => None,
    }
}
