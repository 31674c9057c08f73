//! Durations and times in readable form.

/// A duration in at most six characters: `12ms`, `3.4s`, `5m`, `2h`, `9d`.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 0.9995 => format!("{:.0}ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.1}s"),
        s if s < 120.0 => format!("{s:.0}s"),
        s if s < 7200.0 => format!("{:.0}m", (s / 60.0).floor()),
        s if s < 172_800.0 => format!("{:.0}h", (s / 3600.0).floor()),
        s => format!("{:.0}d", (s / 86400.0).floor()),
    }
}

/// Seconds from one time to a later one; 0 if the clock was set back.
pub(super) fn spent(from: jiff::Timestamp, to: jiff::Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

/// A time on the local clock.
pub(super) fn local(time: jiff::Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let shown: Vec<String> = [0.0, 0.0123, 0.9999, 1.0, 9.95, 59.0, 3600.0, 9000.0, 1e6].map(span).into();
        assert_eq!(shown, ["0ms", "12ms", "1.0s", "1.0s", "9.9s", "59s", "60m", "2h", "11d"]);
    }
}
