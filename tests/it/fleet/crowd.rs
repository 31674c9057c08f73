//! Many members in one process on real servers: never more runs than permits, everybody converges, and a rollout costs
//! a store the same for each host, however many there are. By the servers' own counters.
//!
//! `TWITCHER_CROWD=1000` is what `make soak` says.

use std::time::{Duration, Instant};

use twitcher::internals::fleet::Crowd;
use twitcher::internals::fleet::terms::{MaxParallel, Share, Terms};
use twitcher::store::Store;

use crate::fixture::etcd::Etcd;
use crate::fixture::gate::alone;
use crate::fixture::program;
use crate::fixture::server::http_get;
use crate::fixture::zookeeper::ZooKeeper;

const SMALL: usize = 60;
const LARGE: usize = 300;
/// Longest run.
const RUN: Duration = Duration::from_millis(50);

/// Writes of keys, as the server counts them.
trait Counted {
    fn url(&self) -> String;
    async fn writes(&self) -> u64;
}

impl Counted for Etcd {
    fn url(&self) -> String {
        self.url()
    }

    async fn writes(&self) -> u64 {
        let page = http_get(self.port(), "/metrics").unwrap();
        let count = |name: &str| {
            let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
            // Written as a float once it is large.
            value.parse::<f64>().unwrap().to_string().parse::<u64>().unwrap()
        };
        count("etcd_mvcc_put_total") + count("etcd_mvcc_delete_total")
    }
}

impl Counted for ZooKeeper {
    fn url(&self) -> String {
        self.url()
    }

    /// How often each node of the group was set, and how often nodes were made and deleted. Its counter of writes
    /// (`zk_cnt_twitcher_write_per_namespace`) also counts the checks of a transaction.
    async fn writes(&self) -> u64 {
        let client = self.client().await;
        let (mut writes, mut paths) = (0, vec!["/twitcher/fleet/git".to_owned()]);
        while let Some(path) = paths.pop() {
            // A permit may be gone meanwhile.
            let Ok(Some(stat)) = client.check_stat(&path).await else { continue };
            writes += u64::try_from(stat.version + stat.cversion).unwrap();
            if stat.num_children > 0 {
                let children = client.list_children(&path).await.unwrap_or_default();
                paths.extend(children.iter().map(|child| format!("{path}/{child}")));
            }
        }
        writes
    }
}

/// The terms, and how often a host's keys may be written in a rollout.
fn kinds() -> [(&'static str, Terms, u64); 3] {
    let share = MaxParallel::Share(Share::Percent(5));
    let limited = Terms { max_parallel: share, ..Terms::default() };
    let hold = Terms { hold: Duration::from_millis(100), ..limited.clone() };
    let unlimited = Terms { max_parallel: MaxParallel::Unlimited, ..Terms::default() };
    [("5%", limited, 5), ("5% with hold", hold, 6), ("unlimited", unlimited, 1)]
}

/// Waits until the group writes nothing for as long as a summary may take.
async fn until_quiet(server: &impl Counted) -> u64 {
    let mut last = (server.writes().await, Instant::now());
    let began = Instant::now();
    while last.1.elapsed() < Duration::from_secs(3) {
        assert!(began.elapsed() < Duration::from_mins(2), "the group goes on writing");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = server.writes().await;
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    last.0
}

/// Writes a host of one rollout.
async fn rollout(server: &impl Counted, members: usize, what: &str, terms: Terms, most: u64) -> f64 {
    let limit = match terms.max_parallel {
        MaxParallel::Share(share) => usize::try_from(share.at_most(u32::try_from(members).unwrap())).unwrap(),
        MaxParallel::Unlimited => members,
    };
    let url = server.url();
    let place = tempfile::tempdir().unwrap();
    let put = |value: &str| drop(program::good(&url, &["put", "/git/head", value]));
    put("first");
    let store = Store::connect(&url).await.unwrap();
    let began = Instant::now();
    let mut crowd = Crowd::start(&store, place.path(), members, terms, RUN);
    crowd.until_registered().await;
    let registered = began.elapsed();
    crowd.until_all_have_run(members).await;
    let before = until_quiet(server).await;

    put("second");
    let began = Instant::now();
    crowd.until_all_have_run(2 * members).await;
    let took = began.elapsed();
    let written = until_quiet(server).await - before;
    assert_eq!(crowd.runs(), 2 * members, "each host ran each version once");
    let overlap = crowd.most_at_once();
    assert!(overlap <= limit, "{overlap} runs at once, and {limit} permits");
    // The value itself, three of `rollout`, and a summary in two seconds.
    let others = 1 + 3 + began.elapsed().as_secs() / 2 + 2;
    let hosts = u64::try_from(members).unwrap();
    println!(
        "{what}, {members} members: registered in {registered:?}, rolled in {took:?}, {overlap} of {limit} at once, \
         {written} writes"
    );
    assert!(written <= most * hosts + others, "{written} writes");
    assert!(written >= hosts, "{written} writes: were they counted?");
    if limit < members {
        assert!(overlap * 2 > limit, "only {overlap} of {limit} permits were used at once");
    }
    f64::from(u32::try_from(written).unwrap()) / f64::from(u32::try_from(members).unwrap())
}

async fn a_rollout_costs_each_host_the_same<S: Counted>(start: impl Fn() -> S) {
    let size = std::env::var("TWITCHER_CROWD").ok().map(|text| text.parse::<usize>().unwrap());
    for (what, terms, most) in kinds() {
        let server = start();
        let few = rollout(&server, SMALL, what, terms.clone(), most).await;
        if size.is_some() || most == 5 {
            let server = start();
            let many = rollout(&server, size.unwrap_or(LARGE), what, terms, most).await;
            assert!(many <= few * 1.1, "{what}: {few:.2} writes a host of few, {many:.2} of many");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_etcd() {
    let _alone = alone();
    a_rollout_costs_each_host_the_same(Etcd::start).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_zookeeper() {
    let _alone = alone();
    a_rollout_costs_each_host_the_same(ZooKeeper::for_many_daemons).await;
}
