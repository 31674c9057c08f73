//! Where in etcd's history a command begins: `--from` and `--after`.

use super::Failure;
use crate::store::StoreUrl;
use crate::store::etcd::Begin;

/// Where in the history of the store to begin.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Since {
    /// Begin with the changes of this revision, or, as a negative number -N, with the newest N changes. Only etcd keeps
    /// a history
    #[arg(long, value_name = "VERSION", allow_negative_numbers = true, value_parser = revision)]
    from: Option<i64>,
    /// Begin after this revision. Only etcd keeps a history
    #[arg(long, value_name = "VERSION", allow_negative_numbers = true, value_parser = past_revision,
        conflicts_with = "from")]
    after: Option<i64>,
}

impl Since {
    /// Whether a place in the history was named.
    pub(super) fn is_given(&self) -> bool {
        self.from.or(self.after).is_some()
    }

    /// Where to begin; wrong usage where this store keeps no history.
    pub(super) fn begin(&self, url: &StoreUrl) -> Result<Begin, Failure> {
        if self.is_given() && !url.kind().facts().keeps_history {
            let option = if self.from.is_some() { "--from" } else { "--after" };
            return Err(Failure::usage(format!(
                "{option}: {url} keeps no history; only etcd does. Leave it out to begin with what is there now"
            )));
        }
        Ok(match (self.from, self.after) {
            (Some(count), _) if count < 0 => {
                Begin::Newest(u32::try_from(count.unsigned_abs()).unwrap_or(u32::MAX))
            }
            (Some(revision), _) => Begin::At(revision),
            (None, Some(revision)) => Begin::At(revision.saturating_add(1)),
            (None, None) => Begin::Now,
        })
    }
}

fn revision(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| {
        "a version of etcd is a number such as 1042, and -20 means the newest 20 changes".to_owned()
    })
}

fn past_revision(text: &str) -> Result<i64, String> {
    text.parse().ok().filter(|revision| *revision >= 0).ok_or_else(|| {
        "a version of etcd is a number such as 1042; `--from -20` begins with the newest 20 changes"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_includes_the_revision_and_after_does_not() {
        let etcd: StoreUrl = "etcd://a".parse().unwrap();
        let since = |from, after| Since { from, after };
        for (since, begin) in [
            (since(None, None), Begin::Now),
            (since(Some(7), None), Begin::At(7)),
            (since(Some(0), None), Begin::At(0)),
            (since(Some(-3), None), Begin::Newest(3)),
            (since(Some(i64::MIN), None), Begin::Newest(u32::MAX)),
            (since(None, Some(7)), Begin::At(8)),
            (since(None, Some(i64::MAX)), Begin::At(i64::MAX)),
        ] {
            assert_eq!(since.begin(&etcd).unwrap(), begin);
        }
        for url in ["zookeeper://a", "dir:///a"] {
            let url = url.parse().unwrap();
            assert_eq!(since(None, None).begin(&url).unwrap(), Begin::Now);
            for (since, option) in [(since(Some(7), None), "--from"), (since(None, Some(7)), "--after")] {
                let why = since.begin(&url).unwrap_err().to_string();
                assert!(why.contains(option) && why.contains("keeps no history"), "{why}");
            }
        }
        assert!(past_revision("-1").is_err() && revision("x").is_err() && revision("").is_err());
    }
}
