//! The identity of a definition: a canonical text of everything that decides when and how its action runs.
//!
//! A hash of it, the [`Fingerprint`], is stored in the ledger, so the text is a format on disk and is written out
//! here by hand: one `field = value` line for each field of a watch file, in a fixed order. A field with its default
//! value is omitted, so that a field added by a later version changes no stored fingerprint.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Account, Action, FleetSpec, Format, Guard, Limit, PolicySpec, Retries, RunMode, RunOnLoad, Surroundings,
    Target, VERIFY_INTERVAL, WatchSpec,
};

/// The short form of a definition's identity, as the ledger stores it.
///
/// Version 0.1.0 wrote 16 hexadecimal digits of an undefined hash, which equal no current fingerprint. Since then it is
/// 32 hexadecimal digits: the first half of the SHA-256 of the identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of an identity.
    fn of(identity: &str) -> Self {
        let hash = Sha256::digest(identity.as_bytes());
        Self(hash.iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// Whether version 0.1.0 wrote it, so that it cannot be compared with a current one.
    pub fn is_of_version_0_1_0(&self) -> bool {
        self.0.len() == 16
    }
}

impl WatchSpec {
    /// The identity of this definition: equal exactly where nothing differs that decides when or how the action
    /// runs. Name, description, `enabled` and the terms of the fleet are no part of it, nor what was looked up on this machine (an account's
    /// groups, home and shell), drawn for it (the wait out of `splay`) or told to every action (`TWITCHER_VAR_…`).
    pub fn identity(&self) -> String {
        let Self {
            name,
            description: _,
            enabled: _,
            target,
            action,
            surroundings,
            pipe_stdin,
            format,
            output,
            verify_interval,
            splay,
            mutex,
            fleet,
            validate,
            on_give_up,
            machine: _,
            policy,
        } = self;
        let Target { store, key, watch_type } = target;
        let mut identity = Identity(String::new());
        identity.text("store", store.as_str());
        identity.text("key", key.as_str());
        identity.unless_default("watch_type", watch_type.word(), "data");
        identity.action("action", action);
        identity.surroundings(surroundings);
        identity.unless_default("pipe_stdin", flag(*pipe_stdin), "true");
        identity.unless_default("format", format.word(), Format::default_for(*watch_type).word());
        identity.unless_default("output", output.word(), "log");
        identity.duration("verify_interval", *verify_interval, VERIFY_INTERVAL);
        identity.duration("splay", *splay, Duration::ZERO);
        if let Some(mutex) = mutex {
            identity.text("mutex", mutex.as_str());
        }
        // Its terms may change at any time, and decide nothing about one host's run.
        if let Some(FleetSpec { group, terms: _ }) = fleet.as_deref()
            && group.to_string() != name.as_str()
        {
            identity.line("fleet.group", group.as_key());
        }
        if let Some(program) = validate {
            identity.action("validate", program);
        }
        if let Some(hook) = on_give_up {
            identity.action("on_give_up", hook);
        }
        identity.policy(policy);
        identity.0
    }

    /// The fingerprint of its [`identity`](Self::identity).
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.identity())
    }
}

/// The lines so far.
struct Identity(String);

impl Identity {
    fn line(&mut self, field: &str, value: &str) {
        let _ = writeln!(self.0, "{field} = {value}");
    }

    fn unless_default(&mut self, field: &str, value: &str, default: &str) {
        if value != default {
            self.line(field, value);
        }
    }

    fn text(&mut self, field: &str, value: &str) {
        self.line(field, &quoted(value.as_bytes()));
    }

    fn duration(&mut self, field: &str, value: Duration, default: Duration) {
        if value != default {
            self.line(field, &format!("{}ns", value.as_nanos()));
        }
    }

    fn action(&mut self, field: &str, action: &Action) {
        match action {
            Action::Shell(line) => self.text(field, line),
            Action::Program(arguments) => {
                let quoted: Vec<String> = arguments.iter().map(|word| quoted(word.as_bytes())).collect();
                self.line(field, &format!("[{}]", quoted.join(", ")));
            }
            Action::Script(text) => self.text("script", text),
        }
    }

    fn surroundings(&mut self, surroundings: &Surroundings) {
        let Surroundings { account, cwd, umask, inherit_env, env, nice, limits } = surroundings;
        let Account { uid, gid, groups, user: _, home: _, shell: _ } = account;
        // Without groups it is the daemon's own account, the default.
        if groups.is_some() {
            self.line("uid", &uid.to_string());
            self.line("gid", &gid.to_string());
        }
        if cwd != Path::new(Surroundings::CWD) {
            self.line("cwd", &quoted(cwd.as_os_str().as_bytes()));
        }
        if *umask != Surroundings::UMASK {
            self.line("umask", &format!("{umask:03o}"));
        }
        self.unless_default("inherit_env", flag(*inherit_env), "false");
        for (name, value) in env {
            self.line(&format!("env.{}", quoted(name.as_bytes())), &quoted(value.as_bytes()));
        }
        if let Some(nice) = nice {
            self.line("nice", &nice.to_string());
        }
        self.limits(limits);
    }

    fn limits(&mut self, limits: &BTreeMap<Limit, Option<u64>>) {
        for (limit, most) in limits {
            let most = most.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
            self.line(&format!("limits.{}", limit.word()), &most);
        }
    }

    fn policy(&mut self, policy: &PolicySpec) {
        let PolicySpec {
            run_on_load,
            run_mode,
            on_delete,
            notify_signal,
            timeout,
            kill_after,
            settle,
            settle_max,
            splay: _,
            min_interval,
            retries,
            retry_delay,
            retry_delay_max,
            on_failure,
            success_codes,
            guard: Guard { min_entries, max_shrink, validate: _ },
        } = policy;
        match run_on_load {
            RunOnLoad::Always => {}
            RunOnLoad::Never => self.line("run_on_load", "false"),
            RunOnLoad::Changed => self.line("run_on_load", "changed"),
        }
        self.unless_default("run_mode", run_mode.name().word(), "queue");
        match run_mode {
            RunMode::Parallel { max: RunMode::MAX_PARALLEL }
            | RunMode::Queue
            | RunMode::Discard
            | RunMode::Restart => {}
            RunMode::Parallel { max } => self.line("max_parallel", &max.to_string()),
        }
        self.unless_default("on_delete", on_delete.word(), "ignore");
        if let Some(signal) = notify_signal {
            self.line("notify_signal", &signal.0.to_string());
        }
        self.duration("timeout", timeout.unwrap_or_default(), Duration::ZERO);
        self.duration("kill_after", *kill_after, Duration::from_secs(5));
        self.duration("settle", *settle, Duration::ZERO);
        self.duration("settle_max", *settle_max, PolicySpec::settle_max_of(*settle));
        self.duration("min_interval", *min_interval, Duration::ZERO);
        match retries {
            Retries::AtMost(3) => {}
            Retries::AtMost(most) => self.line("retries", &most.to_string()),
            Retries::Unlimited => self.line("retries", "unlimited"),
        }
        self.duration("retry_delay", *retry_delay, Duration::from_secs(5));
        self.duration("retry_delay_max", *retry_delay_max, PolicySpec::retry_delay_max_of(*retry_delay));
        self.unless_default("on_failure", on_failure.word(), "keep");
        if success_codes.as_slice() != [0] {
            let codes: Vec<String> = success_codes.iter().map(i32::to_string).collect();
            self.line("success_codes", &format!("[{}]", codes.join(", ")));
        }
        self.unless_default("min_entries", &min_entries.to_string(), "0");
        if let Some(percent) = max_shrink {
            self.line("max_shrink", &format!("{percent}%"));
        }
    }
}

fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Any bytes on one line, injectively: UTF-8 as it is, with `\"`, `\\`, `\n` for these three, and `\xNN` for a byte that
/// is not UTF-8.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests;
