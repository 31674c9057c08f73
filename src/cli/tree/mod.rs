//! `twitcher tree`: a subtree in real time, full screen, or once as text.
//!
//! [`model`] holds the state and decides, [`draw`](mod@draw) shows it; this file feeds them. Public items are used by the
//! benches.

pub mod draw;
mod escape;
mod help;
pub(super) mod keys;
mod layout;
pub mod model;
mod nodes;
mod outline;
mod search;
mod value;
pub(super) mod wrap;

use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use clap_complete::ArgValueCompleter;
use crossterm::event::{Event, EventStream, MouseEventKind};
use futures::future::{BoxFuture, OptionFuture};
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use self::draw::{Theme, draw};
use self::model::{Effect, Input, Link, Question, Told, View};
use super::screen::{self, Screen};
use super::stores::{StoreArgs, key};
use super::{Common, Failure, complete, print};
use crate::store::{LinkState, Store};
use crate::tree::{Changes, Scope, Snapshot, Tree};
use crate::watch::Key;

/// Shortest time between two redraws, however many changes come.
const FRAME: Duration = Duration::from_millis(33);

/// Delay of a full redraw after the terminal was resized: it may have cut or moved what was drawn during the change.
const RESIZED: Duration = Duration::from_millis(200);

/// Show a subtree in real time, full screen
#[derive(Debug, clap::Args)]
#[command(after_help = "Keys: arrows or hjkl, Enter, / to search, ? for all of them, q to leave.\n\n\
                        Examples:\n  twitcher tree /nginx\n  twitcher tree / --store etcd://localhost:2379\n  \
                        twitcher tree /nginx --once | less")]
pub(super) struct Args {
    /// The key at the top of the subtree
    #[arg(value_parser = key, default_value = "/", add = ArgValueCompleter::new(complete::keys))]
    key: Key,
    /// Print the tree once as text, one key a line; on a terminal, lines are cut to its width
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Prints the tree, or shows it until the user leaves.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    if args.once {
        return once(&args, common).await;
    }
    if !screen::is_there() {
        return Err(Failure::usage("cannot show the tree in real time: no terminal: use --once"));
    }
    let spec = args.store.spec(common)?;
    let url = spec.url.to_string();
    let tree = Tree::open(&Store::open(spec), args.key.clone());
    let broken = |error: std::io::Error| Failure::new(format!("cannot use the terminal: {error}"));
    let mut screen = Screen::enter(common.color).map_err(broken)?;
    let view = View::new(args.key.clone(), url, screen.size().map_err(broken)?);
    let outcome = tokio::select! {
        outcome = live(&tree, view, &mut screen) => outcome.map_err(broken),
        failure = never_reached(&tree, &args, common) => Err(failure),
    };
    // Restore the terminal first, then print the message.
    drop(screen);
    outcome
}

/// Resolves if the store cannot be reached in time. Once it was reached, the view waits for it without limit.
async fn never_reached(tree: &Tree, args: &Args, common: &Common) -> Failure {
    // This connection is closed again; the tree has its own.
    let failure = args.store.open(common).await.err();
    let connected = tree.store().health().borrow().state == LinkState::Connected;
    match failure.filter(|_| !connected) {
        Some(failure) => failure,
        None => std::future::pending().await,
    }
}

async fn once(args: &Args, common: &Common) -> Result<(), Failure> {
    let opened = args.store.open(common).await?;
    let entries = opened.entries(&args.key).await?.entries;
    // An empty store has nothing at its top, which is not an error.
    if entries.is_empty() && !args.key.base().is_empty() {
        return Err(opened.missing(&args.key).await);
    }
    let columns = std::io::stdout().is_terminal().then(crossterm::terminal::size);
    let columns = columns.and_then(Result::ok).map_or(usize::MAX, |(columns, _)| usize::from(columns));
    print(&outline::outline(&args.key, &entries, columns))
}

/// Feeds the view until the user leaves.
async fn live(tree: &Tree, mut view: View, screen: &mut Screen) -> std::io::Result<()> {
    let began = Instant::now();
    let theme = Theme { colours: screen.has_colours() };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut events = EventStream::new();
    let mut shown = pin!(snapshots(tree).fuse());
    let mut asked = false;
    let mut answer: OptionFuture<BoxFuture<'_, Told>> = None.into();
    let (mut drawn, mut draw_at) = (began, began);
    let mut repaint_at: Option<Instant> = None;
    loop {
        if let Some(question) = view.question().filter(|_| !asked) {
            asked = true;
            answer = Some(ask(tree.store(), question).boxed()).into();
        }
        let input = tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            event = events.next() => match event.transpose()? {
                Some(event) => {
                    if let Event::Resize(..) = event {
                        repaint_at = Some(Instant::now() + RESIZED);
                    }
                    input(&event)
                }
                None => return Ok(()),
            },
            () = sleep_until(draw_at) => {
                view.handle(began.elapsed(), Input::Link(link(tree, view.loaded())));
                if repaint_at.take_if(|at| *at <= Instant::now()).is_some() {
                    screen.clear()?;
                }
                // A resize event may be lost, or report an intermediate size.
                let (width, height) = screen.size()?;
                view.handle(began.elapsed(), Input::Size(width, height));
                screen.draw(|frame| draw(frame, &view, theme))?;
                drawn = Instant::now();
                draw_at = drawn + view.lasts();
                draw_at = repaint_at.map_or(draw_at, |at| draw_at.min(at));
                None
            }
            Some(told) = &mut answer => {
                asked = false;
                answer = None.into();
                Some(Input::Told(told))
            }
            Some(snapshot) = shown.next() => Some(Input::Shown(snapshot)),
        };
        let Some(input) = input else { continue };
        match view.handle(began.elapsed(), input) {
            Some(Effect::Quit) => return Ok(()),
            Some(Effect::Redraw) => screen.clear()?,
            Some(Effect::Suspend) => {
                screen.suspend()?;
                let (width, height) = screen.size()?;
                view.handle(began.elapsed(), Input::Size(width, height));
            }
            None => {}
        }
        draw_at = draw_at.min(drawn + FRAME);
    }
}

/// The mirror's snapshots: first when it is loaded, then at each change.
fn snapshots(tree: &Tree) -> impl Stream<Item = Snapshot> {
    stream::unfold(None::<Changes>, move |changes| async move {
        match changes {
            None => {
                tree.loaded().await;
                // Subscribe to changes first, so that none is missed.
                let changes = tree.changes("", Scope::Below, Duration::ZERO, Duration::ZERO);
                Some((tree.snapshot(), Some(changes)))
            }
            Some(mut changes) => changes.next().await.map(|changed| (changed.snapshot, Some(changes))),
        }
    })
}

fn input(event: &Event) -> Option<Input> {
    match event {
        Event::Key(event) => Some(Input::Typed(*event)),
        // A mouse that only moves needs no redraw.
        Event::Mouse(event) if event.kind == MouseEventKind::Moved => None,
        Event::Mouse(event) => Some(Input::Mouse(*event)),
        Event::Resize(width, height) => Some(Input::Size(*width, *height)),
        Event::FocusGained | Event::FocusLost | Event::Paste(_) => None,
    }
}

fn link(tree: &Tree, loaded: bool) -> Link {
    let (freshness, health) = (tree.freshness(), tree.store().health().borrow().clone());
    // The store's health is the newer of the two.
    let connected = health.state == LinkState::Connected;
    let since = clock(health.since());
    match (freshness.error, connected) {
        (Some(why), true) if freshness.connected => Link::Refused(why),
        (_, true) => Link::Connected,
        (None, false) if !loaded && health.state == LinkState::Connecting => Link::Connecting,
        (why, false) => Link::Lost {
            why: health
                .error
                .or(why)
                .unwrap_or_else(|| "the connection is lost; it is tried again".to_owned()),
            since,
        },
    }
}

/// A time of today, or with its date.
fn clock(time: jiff::Timestamp) -> String {
    let now = jiff::Zoned::now();
    let time = time.to_zoned(now.time_zone().clone());
    time.strftime(if time.date() == now.date() { "%H:%M:%S" } else { "%b %d %H:%M" }).to_string()
}

async fn ask(store: &Store, question: Question) -> Told {
    let entry = store.get(&question.key).await;
    let written = entry.as_ref().ok().and_then(|entry| {
        let (_, text) = entry.as_ref()?.metadata.iter().find(|(name, _)| *name == "mtime")?;
        let time: jiff::Timestamp = text.parse().ok()?;
        Duration::try_from(jiff::Timestamp::now().duration_since(time)).ok()
    });
    let version = entry.map(|entry| entry.map(|entry| entry.version)).map_err(|error| error.to_string());
    Told { question, version, written }
}
