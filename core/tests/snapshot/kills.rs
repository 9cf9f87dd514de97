//! A conversation that is cut at each of its outputs, and once more soon after the restore.

use epode::config::StreamManagement;
use epode::{Element, Input, Stage, stanza};

use crate::bosh::Manager;
use crate::stream::Server;
use crate::world::{Forgets, Peer, World, over_bosh, tcp};

const SAID: u64 = 7;

/// What happens, if nothing goes wrong.
fn conversation(world: &mut World) {
    world.handle(Input::Start).unwrap();
    world.say(1);
    world.settle();
    world.hear(101);
    world.settle();
    world.say(2);
    world.say(3);
    world.settle();
    let query = Element::builder("jabber:iq:version", "query");
    let iq = stanza::get(Some(&"example.org".parse().unwrap()), query).unwrap();
    world.handle(Input::Request { iq, timeout: None }).unwrap();
    world.hear(102);
    world.settle();
    world.wait(4_000);
    world.say(4);
    world.cut();
    world.say(5);
    world.hear(103);
    world.wait(5_000);
    world.say(6);
    world.hear(104);
    world.settle();
    world.say(SAID);
    world.hear(105);
    world.wait(200_000);
}

/// How often each thing was seen, so that a test which checks nothing shows.
#[derive(Debug, Default)]
struct Sum {
    runs: usize,
    resumed: usize,
    logins: usize,
    failed: usize,
    replays: usize,
}

/// `forgets`: a message may be lost, but then it is said; otherwise it arrives once.
fn check(world: &World, forgets: bool, once: bool, sum: &mut Sum) {
    for (number, note) in &world.notes {
        let copies = world.peer.copies(*number);
        assert!(!once || copies <= 1, "{number} has arrived {copies} times");
        if let Some(acked) = note.copies {
            assert_eq!(acked, copies, "{number} was acknowledged, and sent again");
        }
        if note.stages.is_empty() {
            // Nobody was told that it is kept.
            continue;
        }
        let last = note.stages.iter().max();
        match last {
            Some(Stage::Acked) => {}
            Some(Stage::Failed) => {
                let is_uncertain = match &world.peer {
                    Peer::Stream(server) => server.uncertain.contains(number),
                    Peer::Bosh(_) => false,
                };
                // Or it was on its way with `<enable/>` when the process ended.
                assert!(
                    forgets || is_uncertain || copies == 0,
                    "{number} failed: {:?}",
                    note.stages
                );
                sum.failed += 1;
            }
            other => panic!(
                "{number} came to no end: {other:?}, {copies} copies: {:#?}",
                world.events
            ),
        }
        assert!(
            !(note.stages.contains(&Stage::Acked) && note.stages.contains(&Stage::Failed)),
            "{number}: {:?}",
            note.stages
        );
    }
    if !forgets {
        for number in 101..=105 {
            assert!(
                world.heard.contains(&number),
                "{number} is lost on its way to the application"
            );
        }
    }
    sum.runs += 1;
    sum.resumed += world.onlines().iter().filter(|resumed| **resumed).count();
    match &world.peer {
        Peer::Stream(server) => sum.logins += server.logins as usize,
        Peer::Bosh(manager) => {
            sum.logins += manager.logins as usize;
            sum.replays += manager.replays as usize;
        }
    }
}

/// Every kill of the conversation, and after each of them every kill of the first outputs of the next process.
fn every_kill(new: impl Fn() -> World, forgets: bool, once: bool) -> Sum {
    let mut sum = Sum::default();
    let mut whole = new();
    conversation(&mut whole);
    check(&whole, forgets, once, &mut Sum::default());
    for first in 0..whole.outputs {
        // All pairs would take minutes: those here are spread.
        for second in [None, Some(0), Some(first % 4 + 1), Some(5 + first * 5 % 11)] {
            let mut world = new();
            world.kills = [first].into_iter().chain(second).collect();
            let case = format!("killed after {first} and {second:?}");
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                conversation(&mut world);
                check(&world, forgets, once, &mut sum);
            }));
            assert!(result.is_ok(), "{case}");
        }
    }
    sum
}

#[test]
fn a_stream_loses_and_repeats_nothing() {
    let sum = every_kill(|| World::new(tcp(), Peer::Stream(Server::default())), false, true);
    assert!(
        sum.runs > 300 && sum.resumed > sum.runs && sum.failed < sum.runs / 10,
        "{sum:?}"
    );
}

#[test]
fn a_server_that_forgot_the_session_makes_no_promise_broken() {
    let mut failed = Vec::new();
    for forgets in [Forgets::Everything, Forgets::ButTheCount] {
        let new = || {
            World::new(
                tcp(),
                Peer::Stream(Server {
                    forgets: Some(forgets),
                    ..Server::default()
                }),
            )
        };
        let sum = every_kill(new, true, true);
        assert!(sum.logins > sum.runs && sum.resumed > 0, "{sum:?}");
        failed.push(sum.failed);
    }
    // What the server says that it has not handled is sent again.
    assert!(failed[0] > 2 * failed[1], "{failed:?}");
}

#[test]
fn what_is_sent_twice_on_purpose_was_never_acknowledged() {
    let settings = StreamManagement {
        resend_uncertain: true,
        ..StreamManagement::default()
    };
    let new = || {
        World::new(
            tcp().stream_management(settings),
            Peer::Stream(Server {
                forgets: Some(Forgets::Everything),
                ..Server::default()
            }),
        )
    };
    let sum = every_kill(new, true, false);
    assert!(sum.logins > sum.runs && sum.failed < sum.runs / 20, "{sum:?}");
}

#[test]
fn without_resumption_each_message_ends_as_it_should() {
    let new = || {
        World::new(
            tcp(),
            Peer::Stream(Server {
                plain: true,
                ..Server::default()
            }),
        )
    };
    let sum = every_kill(new, true, true);
    assert!(sum.resumed == 0 && sum.failed > 0, "{sum:?}");
}

#[test]
fn a_bosh_session_loses_and_repeats_nothing() {
    for keys in [false, true] {
        let new = || {
            World::new(
                over_bosh(|bosh| bosh.key_sequence = keys),
                Peer::Bosh(Manager::default()),
            )
        };
        let sum = every_kill(new, false, true);
        assert!(
            sum.runs > 300 && sum.resumed > sum.runs / 2 && sum.replays > 20,
            "{sum:?}"
        );
    }
}

#[test]
fn a_bosh_session_that_is_gone_is_followed_by_a_login() {
    let new = || {
        World::new(
            over_bosh(|_| {}),
            Peer::Bosh(Manager {
                forgets: true,
                ..Manager::default()
            }),
        )
    };
    let sum = every_kill(new, true, true);
    assert!(sum.logins > sum.runs && sum.failed > 0, "{sum:?}");
}
