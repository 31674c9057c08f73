//! When the action of a `[[watch]]` table runs.

use std::time::Duration;

use super::lowering::Lowering;
use super::validate;
use crate::config::raw::At;
use crate::watch::{Action, Guard, PolicySpec, Retries, RunMode, RunModeName, RunOnLoad, WatchType};

impl Lowering<'_> {
    pub(super) fn policy(&mut self, splay: Duration) -> PolicySpec {
        let table = self.table;
        let run_mode = match table.chosen("run_mode").unwrap_or(RunModeName::Queue) {
            RunModeName::Queue => RunMode::Queue,
            RunModeName::Discard => RunMode::Discard,
            RunModeName::Restart => RunMode::Restart,
            RunModeName::Parallel => {
                let max = table.number("max_parallel").and_then(|at| u32::try_from(at.value).ok());
                RunMode::Parallel { max: max.unwrap_or(RunMode::MAX_PARALLEL) }
            }
        };
        if table.writes("max_parallel") && !matches!(run_mode, RunMode::Parallel { .. }) {
            self.warn(
                "max_parallel",
                "`max_parallel` has no effect here",
                "it needs `run_mode = \"parallel\"`",
            );
        }
        if table.writes("notify_signal") && run_mode != RunMode::Queue {
            self.warn(
                "notify_signal",
                "`notify_signal` has no effect here",
                "it needs `run_mode = \"queue\"`",
            );
        }
        let (settle, settle_max) = self.settle();
        let (retry_delay, retry_delay_max) = self.retry_delay();
        let default = PolicySpec::default();
        let guard = self.guard();
        PolicySpec {
            run_on_load: match (table.flag("run_on_load"), table.word("run_on_load")) {
                (_, Some(_)) => RunOnLoad::Changed,
                (Some(false), None) => RunOnLoad::Never,
                (Some(true), None) => RunOnLoad::Always,
                (None, None) => default.run_on_load,
            },
            run_mode,
            on_delete: table.chosen("on_delete").unwrap_or(default.on_delete),
            // A default that does not fit the run mode is skipped.
            notify_signal: table
                .signal("notify_signal")
                .filter(|_| run_mode == RunMode::Queue || table.writes("notify_signal"))
                .map(|at| at.value),
            timeout: table.duration("timeout").map(|at| at.value),
            kill_after: self.duration("kill_after", default.kill_after),
            settle,
            settle_max,
            splay,
            min_interval: self.duration("min_interval", default.min_interval),
            retries: if table.word("retries").is_some() {
                Retries::Unlimited
            } else if table.has("retries") {
                let most = table.number("retries").and_then(|at| u32::try_from(at.value).ok());
                Retries::AtMost(most.unwrap_or(0))
            } else {
                default.retries
            },
            retry_delay,
            retry_delay_max,
            on_failure: table.chosen("on_failure").unwrap_or(default.on_failure),
            success_codes: table.codes("success_codes").map_or(default.success_codes, |at| at.value),
            guard,
        }
    }

    pub(super) fn on_give_up(&mut self, policy: &PolicySpec) -> Option<Box<Action>> {
        let at = self.table.action("on_give_up")?;
        if policy.retries == Retries::Unlimited && !policy.guard.is_on() && self.table.writes("on_give_up") {
            self.warn(
                "on_give_up",
                "`on_give_up` never runs here, because `retries = \"unlimited\"` and no guard holds a state back",
                "limit `retries`, or leave it out",
            );
        }
        Some(Box::new(at.value))
    }

    fn guard(&mut self) -> Guard {
        let table = self.table;
        let fits = match self.watch_type() {
            WatchType::Data => false,
            WatchType::Children | WatchType::Tree => true,
        };
        for field in ["min_entries", "max_shrink"] {
            if !fits && table.writes(field) {
                self.wrong(
                    table.span(field),
                    format!("`{field}` counts entries, and a single value has none"),
                    "it goes with `watch_type = \"tree\"` or `\"children\"`; leave it out here",
                );
            }
        }
        let number = |field| table.number(field).filter(|_| fits).map(|at| at.value);
        Guard {
            min_entries: number("min_entries").and_then(|least| u64::try_from(least).ok()).unwrap_or(0),
            max_shrink: number("max_shrink").and_then(|percent| u8::try_from(percent).ok()),
            validate: validate::judges(table, self.watch_type()),
        }
    }

    fn settle(&mut self) -> (Duration, Duration) {
        let settle = self.duration("settle", Duration::ZERO);
        let written = self.table.writes("settle_max");
        let fits = |most: &At<Duration>| written || most.value >= settle;
        let Some(most) = self.table.duration("settle_max").filter(fits) else {
            return (settle, PolicySpec::settle_max_of(settle));
        };
        if settle.is_zero() {
            if written && !self.table.has("settle") {
                self.warn("settle_max", "`settle_max` has no effect without `settle`", "set `settle` too");
            }
            // There is nothing to wait for: equal to a watch without it.
            return (settle, Duration::ZERO);
        }
        if most.value < settle {
            self.wrong(
                most.span,
                "`settle_max` is shorter than `settle`",
                "write at least `settle`, for example 10 times as much",
            );
        }
        (settle, most.value)
    }

    fn retry_delay(&mut self) -> (Duration, Duration) {
        let first = self.duration("retry_delay", PolicySpec::default().retry_delay);
        let Some(most) = self.table.duration("retry_delay_max") else {
            return (first, PolicySpec::retry_delay_max_of(first));
        };
        if most.value >= first {
            return (first, most.value);
        }
        if self.table.writes("retry_delay") && self.table.writes("retry_delay_max") {
            self.wrong(
                most.span,
                "`retry_delay_max` is shorter than `retry_delay`",
                "write at least `retry_delay`",
            );
        }
        // One of the two is a default: the watch's own value is in effect.
        let delay = if self.table.writes("retry_delay") { first } else { most.value };
        (delay, delay)
    }
}
