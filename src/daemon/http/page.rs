//! The fleet page as HTML, without I/O. Every text from a store is escaped.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::fleet::bars::Bar;
use crate::fleet::report::{GroupStatus, HostStatus, Tone, word};
use crate::log::escape;

const STYLE: &str = include_str!("style.css");

/// Hosts in the table of those that do not have the version.
pub(super) const HOSTS: usize = 500;

/// A group with all that its page shows.
#[derive(Debug)]
pub(super) struct GroupPage {
    pub(super) status: GroupStatus,
    pub(super) bars: Vec<Bar>,
    /// Hosts that do not have the version, at most [`HOSTS`] …
    pub(super) hosts: Vec<HostStatus>,
    /// … and how many more there are.
    pub(super) more: usize,
}

/// Escapes a text for HTML: one line, no markup.
fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for letter in escape::line(raw.as_bytes()).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Percent-encodes a name for the path of a URL.
fn segment(name: &str) -> String {
    name.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

/// The style of a state.
fn class(state: &str) -> &'static str {
    match Tone::of(state) {
        Tone::Bad => "bad",
        Tone::Busy => "busy",
        Tone::Good => "good",
        Tone::Plain => "faint",
    }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"5\">\n<style>\n{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )
}

/// All groups, a row each. `unread`: groups whose keys could not be read, and why.
pub(super) fn index(groups: &[GroupStatus], unread: &[(String, String)], now: Timestamp) -> String {
    let mut body = "<h1>Fleets</h1>\n".to_owned();
    if groups.is_empty() && unread.is_empty() {
        body += "<p class=\"faint\">No watch of this host takes part in a fleet.</p>\n";
    } else {
        body += "<div class=\"wide\"><table><tr><th>Group</th><th>State</th><th>Version</th><th>Converged</th><th>Failed</th><th>Since</th></tr>\n";
        for group in groups {
            let _ = writeln!(
                body,
                "<tr><td><a href=\"/fleet/{}\">{}</a></td><td class=\"{}\">{}</td><td>{}</td><td>{} of {}</td><td>{}</td><td>{}</td></tr>",
                segment(&group.group),
                text(&group.group),
                class(group.state),
                group.state,
                text(group.version.as_deref().unwrap_or("-")),
                group.hosts.converged,
                group.hosts.members,
                group.hosts.failed,
                group.since.map_or_else(|| "-".to_owned(), |since| ago(since, now))
            );
        }
        for (group, why) in unread {
            let _ = writeln!(
                body,
                "<tr><td>{}</td><td class=\"bad\" colspan=\"5\">{}</td></tr>",
                text(group),
                text(why)
            );
        }
        body += "</table></div>\n";
    }
    document("Fleets", &body)
}

/// One group in full.
pub(super) fn group(page: &GroupPage, now: Timestamp) -> String {
    let status = &page.status;
    let name = text(&status.group);
    let mut body = format!("<p><a href=\"/fleet\">Fleets</a></p>\n<h1>{name}</h1>\n");
    let key = status.key.as_deref().map(text).unwrap_or_default();
    let version = status.version.as_deref().map_or_else(|| "no version yet".to_owned(), text);
    let since = status.started.map(|at| format!(", since {}", ago(at, now))).unwrap_or_default();
    let conductor = status.conductor.as_ref().map_or_else(
        || "nobody conducts".to_owned(),
        |conductor| format!("conducted by {}", text(&conductor.host)),
    );
    let _ = writeln!(body, "<p class=\"faint\">{key} in store {}, {conductor}</p>", text(&status.store));
    let _ = writeln!(
        body,
        "<p><strong class=\"{}\">{}</strong> with version {version}{since}</p>",
        class(status.state),
        status.state
    );
    if let Some(why) = &status.why {
        let _ = writeln!(body, "<p class=\"bad\">{}</p>", text(why));
    }
    counts(&mut body, status);
    waves(&mut body, &page.bars);
    disagreements(&mut body, status);
    hosts(&mut body, page, now);
    if !status.rollouts.is_empty() {
        body += "<h2>Before</h2>\n<div class=\"wide\"><table><tr><th>Version</th><th>Result</th><th>Converged</th><th>Took</th></tr>\n";
        for past in &status.rollouts {
            let _ = writeln!(
                body,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{} s</td></tr>",
                text(&past.version),
                word(&past.result),
                past.converged,
                past.seconds
            );
        }
        body += "</table></div>\n";
    }
    document(&format!("{name} {}", status.state), &body)
}

fn counts(body: &mut String, status: &GroupStatus) {
    let hosts = &status.hosts;
    let permits = match status.permits.limit {
        Some(limit) => format!("{} of {limit}", status.permits.held),
        None => "no limit".to_owned(),
    };
    body.push_str("<dl>\n");
    let shown = [
        ("converged", format!("{} of {}", hosts.converged, hosts.members)),
        ("permits", permits),
        ("acting", hosts.acting.to_string()),
        ("asking", hosts.asking.to_string()),
        ("behind", hosts.behind.to_string()),
        ("failed", hosts.failed.to_string()),
        ("silent", hosts.silent.to_string()),
        ("conflict", hosts.conflict.to_string()),
        ("down", hosts.down.to_string()),
        ("over", hosts.over.to_string()),
    ];
    let often = ["converged", "permits", "acting", "asking", "behind", "failed", "silent"];
    for (name, value) in shown.iter().filter(|(name, value)| often.contains(name) || value != "0") {
        let _ = writeln!(body, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    body.push_str("</dl>\n");
}

fn waves(body: &mut String, bars: &[Bar]) {
    body.push_str("<h2>Waves</h2>\n");
    for bar in bars {
        let share = if bar.size == 0 { 100.0 } else { f64::from(bar.done) * 100.0 / f64::from(bar.size) };
        let open = if bar.is_open { " open" } else { "" };
        let _ = writeln!(
            body,
            "<div class=\"wave{open}\"><span>{}</span><div class=\"bar\"><span style=\"width:{share:.1}%\"></span></div><span>{} of {}</span></div>",
            text(&bar.name),
            bar.done,
            bar.size
        );
    }
}

fn disagreements(body: &mut String, status: &GroupStatus) {
    for twin in &status.name_conflicts {
        let (host, machine) = (text(&twin.host), text(&twin.machine));
        let _ = writeln!(body, "<p class=\"bad\">the name {host} is also claimed by machine {machine}</p>");
    }
    if let Some(disagreement) = status.disagreement(text) {
        let _ = writeln!(body, "<p class=\"busy\">{disagreement}</p>");
    }
}

fn hosts(body: &mut String, page: &GroupPage, now: Timestamp) {
    if page.hosts.is_empty() {
        return;
    }
    body.push_str(
        "<h2>Hosts without the version</h2>\n<div class=\"wide\"><table><tr><th>Host</th><th>State</th><th>Has</th><th>Since</th><th>Why</th></tr>\n",
    );
    for host in &page.hosts {
        let flags =
            if host.flags.is_empty() { String::new() } else { format!(" ({})", host.flags.join(", ")) };
        let _ = writeln!(
            body,
            "<tr><td>{}</td><td class=\"{}\">{}{flags}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            text(&host.host),
            class(host.state),
            host.state,
            text(host.applied.as_deref().unwrap_or("-")),
            host.since.map_or_else(|| "-".to_owned(), |since| ago(since, now)),
            text(host.why.as_deref().unwrap_or_default())
        );
    }
    body.push_str("</table></div>\n");
    if page.more > 0 {
        let _ = writeln!(body, "<p class=\"faint\">and {} more: twitcher fleet hosts</p>", page.more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        assert_eq!(text("<b onload='x'>&\"\n"), "&lt;b onload=&#39;x&#39;&gt;&amp;&quot;\\n");
        assert_eq!(segment("a b/<script>"), "a%20b%2F%3Cscript%3E");
    }
}
