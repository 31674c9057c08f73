//! What a rollout costs the store, by etcd's own counters.

use super::hosts::{Fleet, HOSTS};
use crate::fixture::daemon::{stays_silent_for, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::server::http_get;

/// Keys that were written or deleted since the server started.
fn writes(etcd: &Etcd) -> u64 {
    let page = http_get(etcd.port(), "/metrics").unwrap();
    let count = |name: &str| {
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        // Written as a float once it is large.
        value.parse::<f64>().unwrap().to_string().parse::<u64>().unwrap()
    };
    count("etcd_mvcc_put_total") + count("etcd_mvcc_delete_total")
}

/// All hosts have the version, and the conductor has written its last summary of that.
fn until_quiet(fleet: &Fleet, version: &str) {
    fleet.until_all_have(version);
    until("the last summary", || {
        let summary = fleet.key("summary")?;
        let is_of_it = summary["id"].as_str()?.starts_with(&format!("{version}/"));
        let is_last = is_of_it && summary["hosts"]["converged"] == HOSTS && summary["held"] == 0;
        (is_last && fleet.key("rollout")?["state"] == "done").then_some(())
    });
}

#[test]
fn a_rollout_writes_five_times_a_host_and_an_idle_group_never() {
    for (terms, most) in [("max_parallel = 2", 5), ("max_parallel = 2\nhold = '100ms'", 6)] {
        let etcd = Etcd::start();
        let fleet = Fleet::start(&etcd.url(), terms, "true");
        until_quiet(&fleet, &fleet.version());
        let before = writes(&etcd);
        let began = std::time::Instant::now();
        let version = fleet.put("second");
        until_quiet(&fleet, &version);
        let hosts = u64::try_from(HOSTS).unwrap();
        // The value itself, three of `rollout` for the only wave, and a summary in two seconds.
        let others = 1 + 3 + began.elapsed().as_secs() / 2 + 2;
        let written = writes(&etcd) - before;
        assert!(written <= most * hosts + others, "{written} writes with {terms}");
        assert!(written >= 3 * hosts, "{written} writes: were they counted?");
        let idle = writes(&etcd);
        stays_silent_for(std::time::Duration::from_secs(3), "an idle group wrote", || writes(&etcd) == idle);
    }
}
