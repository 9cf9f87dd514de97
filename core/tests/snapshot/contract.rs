//! What is stored when, and what is refused.

use epode::config::Persist;
use epode::error::{Misuse, SnapshotError};
use epode::{Client, Event, Input, Instant, Output, Refused, Secret, Slot, Stage};

use crate::bosh::Manager;
use crate::stream::Server;
use crate::world::{Peer, World, message, over_bosh, tcp};

fn stream() -> Peer {
    Peer::Stream(Server::default())
}

fn online() -> World {
    let mut world = World::new(tcp(), stream());
    world.start();
    assert_eq!(world.onlines(), [false]);
    world
}

fn restore(bytes: &[u8]) -> Result<(), Refused> {
    let mut client = Client::new(tcp().build().unwrap(), [9; 32]);
    let (slot, bytes) = (Slot::Session, Secret::new(bytes));
    let result = client.handle(Instant::default(), Input::Restore { slot, bytes });
    // Refused or not, it can be started.
    client.handle(Instant::default(), Input::Start).unwrap();
    assert!(std::iter::from_fn(|| client.next()).any(|output| matches!(output, Output::Connect { .. })));
    result.map(|_| ())
}

#[test]
fn what_is_no_snapshot_is_refused_with_the_reason() {
    let refused = |error| Err(Refused::Snapshot(error));
    let disk = online().disk;
    assert_eq!(restore(&disk), Ok(()));
    assert_eq!(restore(b""), Ok(()));
    assert_eq!(restore(b"{}"), refused(SnapshotError::Corrupt));
    for at in 0..disk.len() {
        let mut damaged = disk.clone();
        damaged[at] ^= 1;
        assert!(matches!(restore(&damaged), Err(Refused::Snapshot(_))), "byte {at}");
    }
    let mut newer = disk.clone();
    newer[16] = 2;
    assert_eq!(restore(&newer), refused(SnapshotError::Newer { version: 2 }));
    let mut client = Client::new(
        epode::Config::builder("romeo@example.org".parse().unwrap())
            .tcp("example.org", 5223, epode::TcpTls::Direct)
            .credentials(epode::Credentials::certificate("romeo", None))
            .build()
            .unwrap(),
        [9; 32],
    );
    let (slot, bytes) = (Slot::Session, Secret::new(disk));
    assert_eq!(
        client.handle(Instant::default(), Input::Restore { slot, bytes }),
        Err(Refused::Snapshot(SnapshotError::Foreign))
    );
}

#[test]
fn a_slot_is_restored_once_and_before_the_first_start() {
    let too_late = Err(Refused::Misuse(Misuse::TooLateToRestore));
    let mut client = Client::new(tcp().build().unwrap(), [9; 32]);
    let mut restore = |slot| {
        let bytes = Secret::default();
        client.handle(Instant::default(), Input::Restore { slot, bytes })
    };
    assert_eq!(restore(Slot::Session), Ok(None));
    assert_eq!(restore(Slot::Pins), Ok(None));
    assert_eq!(restore(Slot::Session), too_late);
    let mut world = online();
    world.handle(Input::Stop).unwrap();
    world.settle();
    let (slot, bytes) = (Slot::Session, Secret::default());
    assert_eq!(world.handle(Input::Restore { slot, bytes }), too_late);
}

#[test]
fn what_is_stored_comes_first_in_its_turn() {
    let mut world = online();
    let input = Input::Send { stanza: message(1) };
    world.client.handle(Instant::from_millis(world.now), input).unwrap();
    let outputs: Vec<Output> = std::iter::from_fn(|| world.client.next()).collect();
    assert!(
        matches!(
            outputs[..],
            [
                Output::Store { append: true, .. },
                Output::Event(Event::Delivery {
                    stage: Stage::Queued,
                    ..
                }),
                Output::Write { .. }
            ]
        ),
        "{outputs:?}"
    );
    // What was received is counted when its event is out, and before the server hears of it.
    let Peer::Stream(server) = &mut world.peer else {
        panic!()
    };
    server.say(101);
    let bytes = server.says.pop_front().unwrap().into_bytes().into();
    let link = epode::LinkId(1);
    let input = Input::Received { link, bytes };
    world.client.handle(Instant::from_millis(world.now), input).unwrap();
    let outputs: Vec<Output> = std::iter::from_fn(|| world.client.next()).collect();
    assert!(
        matches!(
            outputs[..],
            [
                Output::Event(Event::Stanza { .. }),
                Output::Store { append: true, .. },
                Output::Write { .. }
            ]
        ),
        "{outputs:?}"
    );
}

#[test]
fn what_is_added_for_a_message_is_about_as_large_as_the_message() {
    for (peer, config) in [(stream(), tcp()), (Peer::Bosh(Manager::default()), over_bosh(|_| {}))] {
        let mut world = World::new(config, peer);
        world.start();
        let (mut added, mut whole, mut left) = (0, 0, 0);
        for number in 1..=500 {
            world.settle();
            world.stores.clear();
            world.left = 0;
            world.say(number);
            for (append, bytes) in &world.stores {
                if *append {
                    assert!(*bytes <= world.left + 120, "{bytes} bytes for {}", world.left);
                    added += bytes;
                } else {
                    whole += bytes;
                }
            }
            left += world.left;
        }
        world.wait(60_000);
        let acked = |note: &crate::world::Note| note.stages.contains(&Stage::Acked);
        let open: Vec<_> = world.notes.iter().filter(|(_, note)| !acked(note)).collect();
        assert!(
            open.is_empty(),
            "{} of them: {:?} {:?}",
            open.len(),
            open.first(),
            world.events.last()
        );
        // To begin again costs less than what led to it.
        assert!(
            added + whole < 2 * left && whole < added,
            "{added} + {whole} for {left}"
        );
        assert!(world.disk.len() < 64 * 1024, "{}", world.disk.len());
        // Nothing happens, nothing is stored.
        world.stores.clear();
        world.handle(Input::Tick).unwrap();
        assert_eq!(world.stores, []);
    }
}

#[test]
fn a_slot_is_empty_when_the_session_is_over() {
    for (peer, config) in [(stream(), tcp()), (Peer::Bosh(Manager::default()), over_bosh(|_| {}))] {
        let mut world = World::new(config, peer);
        world.start();
        world.say(1);
        world.settle();
        assert!(!world.disk.is_empty());
        world.handle(Input::Stop).unwrap();
        world.wait(10_000);
        assert!(matches!(world.events.last(), Some(Event::Offline { .. })));
        assert!(world.disk.is_empty() && world.stores.last() == Some(&(false, 0)));
        // It can be started again, and stores again.
        world.start();
        assert!(!world.disk.is_empty());
    }
}

#[test]
fn on_suspend_stores_while_the_application_is_away() {
    let mut world = World::new(tcp().persist(Persist::OnSuspend), stream());
    world.start();
    world.say(1);
    world.wait(10_000);
    assert_eq!(world.stores, []);
    world.handle(Input::Foreground(false)).unwrap();
    assert!(matches!(world.stores[..], [(false, 1..)]), "{:?}", world.stores);
    // What happens meanwhile would make it untrue.
    world.say(2);
    assert!(matches!(world.stores[..], [_, (true, _)]), "{:?}", world.stores);
    let stored = world.disk.clone();
    world.handle(Input::Foreground(true)).unwrap();
    assert_eq!(world.disk, stored, "it is still true");
    world.hear(101);
    world.settle();
    assert!(world.disk.is_empty() && world.stores.len() == 3);
    world.wait(10_000);
    assert_eq!(world.stores.len(), 3);
    // And a process that ends while it is away goes on.
    world.handle(Input::Pause { seconds: 600 }).unwrap();
    world.say(3);
    world.restart();
    world.wait(10_000);
    assert_eq!(world.onlines(), [false, true]);
    let acked = |note: &crate::world::Note| note.stages.contains(&Stage::Acked);
    assert!(world.notes.values().all(acked), "{:?}", world.notes);
    assert_eq!(world.peer.heard(), [1, 2, 3]);
}

#[test]
fn a_pause_on_bosh_survives_the_process() {
    let mut world = World::new(
        over_bosh(|_| {}).persist(Persist::OnSuspend),
        Peer::Bosh(Manager::default()),
    );
    world.start();
    world.say(1);
    world.settle();
    assert_eq!(world.stores, []);
    world.handle(Input::Pause { seconds: 60 }).unwrap();
    assert!(!world.disk.is_empty());
    world.hear(101);
    world.restart();
    world.say(2);
    world.wait(10_000);
    assert_eq!(world.onlines(), [false, true]);
    assert_eq!((world.peer.heard(), world.heard.len()), (&[1, 2][..], 1));
}

#[test]
fn off_stores_nothing_and_what_it_was_given_does_not_stay() {
    let disk = {
        let mut world = online();
        world.say(1);
        world.disk
    };
    let mut world = World::new(tcp().persist(Persist::Off), stream());
    world.start();
    world.say(1);
    world.handle(Input::Pause { seconds: 60 }).unwrap();
    world.handle(Input::Foreground(false)).unwrap();
    world.wait(10_000);
    assert_eq!(world.stores, []);
    // A session that goes on makes untrue what was stored of it.
    let mut world = World::new(tcp().persist(Persist::Off), stream());
    world.notes.entry(1).or_default().token = Some(epode::Token(1));
    world.disk = disk;
    world.restart();
    world.wait(10_000);
    assert!(world.not_resumed());
    assert_eq!((world.stores.as_slice(), world.disk.len()), (&[(false, 0)][..], 0));
    assert_eq!(world.notes[&1].stages, [Stage::Failed]);
}

#[test]
fn nothing_of_it_is_shown() {
    let mut world = online();
    world.say(4711);
    let (slot, bytes) = (Slot::Session, Secret::new(world.disk.clone()));
    assert!(world.disk.windows(4).any(|four| four == b"sm-1"));
    let mut client = Client::new(tcp().build().unwrap(), [9; 32]);
    let input = Input::Restore { slot, bytes };
    let mut shown = format!("{input:?}");
    client.handle(Instant::default(), input).unwrap();
    shown += &format!("{client:?}");
    client.handle(Instant::default(), Input::Start).unwrap();
    while let Some(output) = client.next() {
        shown += &format!("{output:?}");
    }
    shown += &format!("{client:?} {:?}", world.client);
    assert!(!shown.contains("sm-1") && !shown.contains("4711"), "{shown}");
}
