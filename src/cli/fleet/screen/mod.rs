//! `twitcher fleet status --follow` on a terminal: one group on the full screen, until the user leaves.
//!
//! [`model`] holds the state and decides, [`draw`](mod@draw) shows it; this file feeds them.

mod draw;
mod model;

use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use futures::future::{BoxFuture, OptionFuture};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use self::draw::draw;
use self::model::{Effect, Seen, View};
use super::super::screen::Screen;
use super::super::tree::keys::act;
use super::super::{Common, Failure};
use super::group::FleetStore;
use crate::fleet::GroupName;

/// Shortest time between two readings.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// Time until the next reading: [`BEAT`], and 1 ms for each host of the group, at most 20 s.
fn beat(hosts: usize) -> Duration {
    BEAT + Duration::from_millis(u64::try_from(hosts).unwrap_or(u64::MAX).min(20_000))
}

/// Shows a group until the user leaves.
pub(super) async fn run(place: &FleetStore, group: &GroupName, common: &Common) -> Result<(), Failure> {
    let broken = |error: std::io::Error| Failure::new(format!("cannot use the terminal: {error}"));
    let mut screen = Screen::enter(common.color).map_err(broken)?;
    live(place, group, &mut screen).await.map_err(broken)
}

async fn read(place: &FleetStore, group: &GroupName) -> Result<Seen, Failure> {
    let Some(picture) = place.read(group).await? else { return Err(place.unknown(&group.to_string()).await) };
    let status = picture.status(place.spec.name.as_str());
    Ok(Seen { status, bars: picture.bars(), hosts: picture.hosts(true) })
}

async fn live(place: &FleetStore, group: &GroupName, screen: &mut Screen) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut events = EventStream::new();
    let mut view = View::default();
    let mut read_at = Instant::now();
    let mut reading: Option<BoxFuture<'_, Result<Seen, Failure>>> = None;
    loop {
        let colours = screen.has_colours();
        screen.draw(|frame| draw(frame, &mut view, Timestamp::now(), colours))?;
        let effect = tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            event = events.next() => match event.transpose()? {
                Some(Event::Key(key)) => act(key, false).and_then(|act| view.act(act)),
                Some(Event::Resize(..)) => Some(Effect::Redraw),
                Some(Event::Mouse(_) | Event::FocusGained | Event::FocusLost | Event::Paste(_)) => None,
                None => return Ok(()),
            },
            Some(seen) = OptionFuture::from(reading.as_mut()) => {
                reading = None;
                let hosts = match seen {
                    Ok(seen) => {
                        let hosts = seen.hosts.len();
                        view.show(seen, Timestamp::now());
                        hosts
                    }
                    Err(failure) => {
                        view.fail(failure.to_string());
                        0
                    }
                };
                read_at = Instant::now() + beat(hosts);
                None
            }
            () = sleep_until(read_at), if reading.is_none() => {
                reading = Some(Box::pin(read(place, group)));
                None
            }
        };
        match effect {
            Some(Effect::Quit) => return Ok(()),
            Some(Effect::Redraw) => screen.clear()?,
            Some(Effect::Suspend) => screen.suspend()?,
            None => {}
        }
    }
}
