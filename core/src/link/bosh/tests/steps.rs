//! Exchanges that are known, over the link alone.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use std::format;
use std::vec;

use super::*;
use crate::config::AttachKeys;
use crate::error::SessionEnd;

const NOTHING: [u64; 0] = [];

/// A host whose server is the test itself.
struct Desk {
    host: Host,
    open: BTreeMap<u64, (RequestId, String)>,
    posts: Vec<String>,
    last: Turn,
}

impl Desk {
    /// Attached: 1004 is held.
    fn attached(change: impl FnOnce(&mut Attach), settle: impl FnOnce(&mut Settings)) -> Self {
        let mut session = attach();
        change(&mut session);
        let (host, turn) = Host::new(
            settings(|settings| {
                settings.attach = Some(session.into());
                settle(settings);
            }),
            1_000,
        );
        Self::of(host, turn)
    }

    fn of(host: Host, turn: Turn) -> Self {
        let mut desk = Self {
            host,
            open: BTreeMap::new(),
            posts: Vec::new(),
            last: Turn::default(),
        };
        desk.took(turn);
        desk
    }

    /// Where one process ends, another goes on with what was stored.
    fn restored(&self, seed: u8) -> Self {
        let state = self.host.stored.clone().expect("something is stored");
        let (host, turn) = Host::restored(settings(|_| {}), state, self.host.now, seed, self.host.next_request);
        Self::of(host, turn)
    }

    fn took(&mut self, turn: Turn) {
        self.open.retain(|_, (request, _)| !turn.abandoned.contains(request));
        for (request, rid, body) in &turn.posts {
            let before = self.open.insert(*rid, (*request, body.clone()));
            assert!(before.is_none(), "{rid} is under way twice");
            self.posts.push(body.clone());
        }
        self.last = turn;
    }

    fn rids(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    fn say(&mut self, token: u64) {
        let turn = self.host.say(token);
        self.took(turn);
    }

    fn pause(&mut self, seconds: u32) {
        let turn = self.host.pause(seconds);
        self.took(turn);
    }

    fn resume(&mut self) {
        let turn = self.host.turn(|bosh, _| bosh.resume());
        self.took(turn);
    }

    fn answer(&mut self, rid: u64, attributes: &str, payloads: &str) {
        let (request, _) = self.open.remove(&rid).expect("under way");
        let turn = self
            .host
            .respond(request, 200, &format!("<body {NS} {attributes}>{payloads}</body>"));
        self.took(turn);
    }

    fn fail(&mut self, rid: u64, reason: Failure) {
        let (request, _) = self.open.remove(&rid).expect("under way");
        let turn = self.host.fail(request, reason);
        self.took(turn);
    }

    /// Lets time pass; gives the numbers of all requests that were posted meanwhile.
    fn wait(&mut self, millis: u64) -> Vec<u64> {
        let until = self.host.now + millis;
        let mut rids = Vec::new();
        while let Some((at, _)) = self.host.deadline().filter(|(at, _)| *at <= until) {
            self.host.now = self.host.now.max(at);
            let turn = self.host.tick();
            rids.extend(turn.rids());
            self.took(turn);
        }
        self.host.now = until;
        rids
    }
}

fn usual(_: &mut Attach) {}

fn plain(_: &mut Settings) {}

fn heard(number: u64) -> String {
    format!("<message xmlns='jabber:client'><body>{number}</body></message>")
}

// ---- pause

#[test]
fn a_pause_is_asked_for_within_its_bounds_and_nothing_else_until_it_ends() {
    for (asked, said, millis) in [
        (60, 60, 45_000),
        (120, 120, 90_000),
        (9_999_999, 120, 90_000),
        // A session lives for 30 seconds as it is.
        (25, 30, 22_500),
        (1, 30, 1_000),
    ] {
        let mut desk = Desk::attached(usual, plain);
        desk.pause(asked);
        assert!(desk.host.bosh.is_paused());
        assert!(
            desk.open[&1005]
                .1
                .ends_with(&format!("rid='1005' sid='s1' ack='1003' pause='{said}'/>")),
            "{}",
            desk.open[&1005].1
        );
        desk.answer(1004, "", "");
        desk.answer(1005, "", "");
        // It is over a little before its end, so that the way to the server fits in.
        assert_eq!(desk.wait(millis - 1), NOTHING, "{asked}");
        assert_eq!(desk.wait(1), vec![1006]);
        assert!(!desk.host.bosh.is_paused());
        assert!(desk.open[&1006].1.ends_with("rid='1006' sid='s1'/>"));
    }
}

#[test]
fn a_pause_that_was_not_granted_is_not_asked_for() {
    let mut desk = Desk::attached(|attach| attach.maxpause = None, plain);
    desk.pause(60);
    assert!(!desk.host.bosh.is_paused() && desk.rids() == [1004]);
    let mut desk = Desk::attached(usual, plain);
    desk.pause(0);
    assert!(!desk.host.bosh.is_paused() && desk.rids() == [1004]);
}

#[test]
fn a_pause_comes_after_what_was_queued_and_may_be_one_request_more() {
    let mut desk = Desk::attached(usual, plain);
    desk.say(1);
    desk.say(2);
    desk.pause(60);
    assert_eq!(desk.rids(), [1004, 1005]);
    desk.answer(1004, "", "");
    // The message first; then there is room for nothing but the pause.
    assert_eq!(desk.rids(), [1005, 1006, 1007]);
    assert!(desk.open[&1006].1.contains("<body>2</body>") && desk.open[&1007].1.contains("pause='60'"));
    // Not even the goodbye: two more than allowed would be too many.
    let turn = desk.host.turn(|bosh, cx| bosh.leave(cx, None));
    desk.took(turn);
    assert_eq!(desk.rids(), [1005, 1006, 1007]);
    desk.answer(1005, "", "");
    assert_eq!(desk.rids(), [1006, 1007, 1008]);
    assert!(desk.open[&1008].1.contains("type='terminate'"));
}

#[test]
fn a_stanza_or_the_application_ends_a_pause() {
    let mut desk = Desk::attached(usual, plain);
    desk.pause(60);
    desk.answer(1004, "", "");
    desk.answer(1005, "", "");
    desk.host.now += 9_000;
    desk.say(1);
    assert!(!desk.host.bosh.is_paused() && desk.rids() == [1006]);
    desk.answer(1006, "", "");
    assert_eq!(desk.rids(), [1007]);
    desk.pause(60);
    desk.answer(1007, "", "");
    desk.answer(1008, "", "");
    assert_eq!(desk.rids(), NOTHING);
    desk.resume();
    assert_eq!(desk.rids(), [1009]);
    // One that was not said yet is simply forgotten.
    desk.say(2);
    desk.say(3);
    desk.pause(60);
    desk.resume();
    desk.answer(1009, "", "");
    desk.answer(1010, "", "");
    assert!(desk.rids() == [1011] && desk.open[&1011].1.contains("<body>3</body>"));
}

#[test]
fn answers_to_a_pause_are_no_hurry() {
    let mut desk = Desk::attached(usual, plain);
    for _ in 0..20 {
        desk.pause(60);
        for rid in desk.rids() {
            desk.answer(rid, "", "");
            assert!(desk.last.warnings.is_empty());
        }
        desk.resume();
        assert_eq!(desk.rids().len(), 1);
    }
}

#[test]
fn a_pause_whose_answer_is_lost_is_not_asked_for_again() {
    for reason in [Failure::Reset, Failure::Timeout] {
        let mut desk = Desk::attached(usual, plain);
        desk.pause(120);
        desk.answer(1004, "", "");
        desk.fail(1005, reason);
        // Perhaps the server never heard of it: it is asked again while the session lives in any case.
        assert_eq!(desk.wait(22_499), NOTHING);
        assert_eq!(desk.wait(1), vec![1006]);
        // The answer to what came later says that it did.
        desk.answer(1006, "", &heard(1));
        assert_eq!((desk.last.heard.clone(), desk.rids()), (vec!["1".into()], vec![1007]));
        assert!(!desk.open[&1007].1.contains(" ack="), "nothing is missing any more");
    }
    // That answer may have come first.
    let mut desk = Desk::attached(usual, plain);
    desk.pause(120);
    desk.answer(1004, "", "");
    desk.say(1);
    desk.answer(1006, "", &heard(1));
    assert!(desk.last.heard.is_empty());
    desk.fail(1005, Failure::Reset);
    assert_eq!(desk.last.heard, ["1"]);
}

#[test]
fn a_pause_that_never_left_is_sent_again_and_so_is_one_that_is_waited_for() {
    let mut desk = Desk::attached(usual, plain);
    desk.pause(120);
    let body = desk.open[&1005].1.clone();
    desk.fail(1005, Failure::Refused);
    assert_eq!(desk.open[&1005].1, body);
    // Nobody answers the next request either: the server may be waiting for the pause.
    let mut desk = Desk::attached(usual, plain);
    desk.pause(120);
    desk.answer(1004, "", "");
    desk.fail(1005, Failure::Reset);
    desk.resume();
    assert_eq!(desk.rids(), [1006]);
    desk.fail(1006, Failure::Timeout);
    assert_eq!((desk.last.rids(), desk.rids()), (vec![1005, 1006], vec![1005, 1006]));
    assert_eq!(desk.open[&1005].1, body);
    desk.answer(1006, "", "");
    desk.answer(1005, "", "");
    assert_eq!(desk.rids(), [1007]);
}

#[test]
fn a_pause_in_a_polling_session_leaves_a_way_on() {
    let mut desk = Desk::attached(
        |attach| {
            attach.hold = 0;
            attach.requests = 1;
        },
        plain,
    );
    desk.answer(1004, "", "");
    desk.pause(120);
    desk.fail(1005, Failure::Reset);
    // One request at a time: whether the server has this one is not to be learnt from the next.
    desk.say(1);
    assert_eq!(desk.rids(), [1005]);
    desk.answer(1005, "", "");
    assert_eq!(desk.rids(), [1006]);
    desk.answer(1006, "", "");
    assert_eq!(desk.last.stages, [(Token(1), Stage::Sent), (Token(1), Stage::Acked)]);
    // It is not repeated without end.
    desk.pause(120);
    desk.resume();
    desk.wait(600_000);
    assert!(desk.last.closed.is_some());
    let attempts = desk.posts.iter().filter(|body| body.contains("rid='1007'"));
    assert_eq!(attempts.count(), 6);
}

// ---- attach

#[test]
fn a_session_that_was_made_elsewhere_goes_on_with_an_empty_request() {
    let desk = Desk::attached(usual, plain);
    assert_eq!(desk.last.attached.as_deref(), Some("juliet@example.org/balcony"));
    assert_eq!(desk.rids(), [1004]);
    assert!(desk.open[&1004].1.ends_with("rid='1004' sid='s1'/>"));
    let shown = format!("{:?} {:?}", attach(), desk.host.bosh.state());
    assert!(!shown.contains("s1"), "{shown}");
}

#[test]
fn a_session_that_is_gone_when_it_is_attached_to_is_an_end() {
    let mut desk = Desk::attached(usual, plain);
    desk.answer(1004, "type='terminate' condition='item-not-found'", "");
    let ended = |condition: &str| {
        Offline::Ended(SessionEnd {
            condition: Some(condition.into()),
            text: None,
            application: None,
            see_other: None,
        })
    };
    assert_eq!(desk.last.closed, Some(Some(ended("item-not-found"))));
    assert!(desk.host.stored.is_none());
}

#[test]
fn what_was_granted_elsewhere_is_kept_to() {
    let mut desk = Desk::attached(
        |attach| {
            attach.requests = 255;
            attach.hold = 3;
        },
        plain,
    );
    for token in 0..9 {
        desk.say(token);
    }
    assert_eq!(desk.rids(), [1004, 1005, 1006, 1007]);
    let mut desk = Desk::attached(
        |attach| {
            attach.wait = 0;
            attach.polling = Some(7);
        },
        plain,
    );
    desk.answer(1004, "", "");
    assert_eq!(desk.wait(6_999), NOTHING);
    assert_eq!(desk.wait(1), vec![1005]);
}

// ---- keys

#[test]
fn the_key_sequence_of_a_session_is_taken_over() {
    let keys = |seed: &str, next| AttachKeys {
        seed: seed.into(),
        next,
    };
    let mut desk = Desk::attached(|attach| attach.keys = Some(keys("epode-seed", 4)), plain);
    assert!(
        desk.open[&1004]
            .1
            .ends_with("key='c5e489591d271de314cc3f8c9398fdad5eeeb226'/>")
    );
    // Whatever comes next uses up the next one: a stanza, a pause, the goodbye; the last announces another sequence.
    desk.say(1);
    assert!(
        desk.open[&1005]
            .1
            .contains(" key='db47843d9df0b0cc314bd7daee9cb885eadc80f6'>")
    );
    let body = desk.open[&1005].1.clone();
    desk.fail(1005, Failure::Reset);
    assert_eq!(desk.open[&1005].1, body);
    desk.pause(60);
    assert!(
        desk.open[&1006]
            .1
            .contains(" key='8f6e4d3403797a8c672bbae6d17822155dcdd5c2' pause='60'")
    );
    for rid in [1004, 1005, 1006] {
        desk.answer(rid, "", "");
    }
    let turn = desk.host.turn(|bosh, cx| bosh.leave(cx, None));
    desk.took(turn);
    let goodbye = &desk.open[&1007].1;
    assert!(
        goodbye.contains(" key='5135c346ee1b9cb277cbb39d7ba4dd8c5ff88b5b' newkey='"),
        "{goodbye}"
    );
}

// ---- restore

#[test]
fn a_restored_session_repeats_what_has_no_answer_to_the_byte() {
    let mut desk = Desk::attached(|attach| attach.requests = 4, plain);
    desk.say(1);
    desk.say(2);
    desk.answer(1005, "", &heard(5));
    let before = desk.open.clone();
    let mut again = desk.restored(9);
    assert_eq!(again.last.rids(), [1004, 1005, 1006]);
    for rid in [1004, 1006] {
        assert_eq!(again.open[&rid].1, before[&rid].1);
    }
    // 1005 was answered, but could not be processed: the server says the same again.
    again.answer(1004, "", &heard(4));
    again.answer(1005, "", &heard(5));
    assert_eq!(again.last.heard, ["5"]);
    assert_eq!(again.last.stages, [(Token(1), Stage::Sent), (Token(1), Stage::Acked)]);
    again.say(3);
    assert!(again.rids().contains(&1007));
}

#[test]
fn a_restored_session_with_nothing_under_way_asks_at_once_or_after_its_interval() {
    let mut desk = Desk::attached(usual, plain);
    desk.pause(120);
    desk.answer(1004, "", "");
    desk.answer(1005, "", "");
    // Whoever restores ends the pause.
    let again = desk.restored(9);
    assert!(again.last.rids() == [1006] && !again.host.bosh.is_paused());
    let mut desk = Desk::attached(|attach| attach.wait = 0, plain);
    desk.answer(1004, "", "");
    let mut again = desk.restored(9);
    assert_eq!(again.last.rids(), NOTHING);
    assert_eq!(again.wait(4_999), NOTHING);
    assert_eq!(again.wait(1), vec![1005]);
}

#[test]
fn a_restored_session_knows_what_was_acknowledged_and_which_certificate_counts() {
    let mut desk = Desk::attached(
        |attach| (attach.hold, attach.requests) = (2, 3),
        |settings| settings.hold = 2,
    );
    desk.say(1);
    desk.answer(1004, "ack='1006'", "");
    assert_eq!(desk.last.stages.len(), 2);
    let facts = TlsFacts {
        server_certificate_sha256: Some([1; 32]),
        ..TlsFacts::default()
    };
    let (request, _) = desk.open.remove(&1005).unwrap();
    let body = format!("<body {NS}/>");
    let turn = desk
        .host
        .turn(|bosh, cx| bosh.responded(cx, request, 200, body.as_bytes(), Some(&facts)));
    desk.took(turn);
    let mut again = desk.restored(9);
    assert_eq!(again.last.rids(), [1006, 1007]);
    again.answer(1006, "", "");
    assert_eq!(again.last.stages, [], "its end was told before");
    let (_, (request, _)) = again.open.pop_first().unwrap();
    let other = TlsFacts {
        server_certificate_sha256: Some([2; 32]),
        ..TlsFacts::default()
    };
    let turn = again
        .host
        .turn(|bosh, cx| bosh.responded(cx, request, 200, body.as_bytes(), Some(&other)));
    let changed = crate::error::TlsError::CertificateChanged;
    assert_eq!(turn.closed, Some(Some(Offline::Tls(changed))));
}

#[test]
fn a_goodbye_that_was_under_way_is_said_again_and_is_the_end() {
    let mut desk = Desk::attached(usual, plain);
    let turn = desk.host.turn(|bosh, cx| bosh.leave(cx, None));
    desk.took(turn);
    let mut again = desk.restored(9);
    assert_eq!(again.last.rids(), [1004, 1005]);
    again.answer(1004, "type='terminate'", "");
    assert_eq!(again.last.closed, Some(None));
}

#[test]
fn what_a_change_costs_does_not_depend_on_how_much_there_is() {
    let mut desk = Desk::attached(|attach| attach.requests = 4, plain);
    desk.host.bosh.record_changes(true);
    for token in 0..3 {
        let outgoing = Outgoing::new(&message(token), Some(Token(token)));
        desk.host.bosh.send(outgoing);
    }
    let stores = desk.host.stores;
    let turn = desk.host.turn(|_, _| {});
    desk.took(turn);
    assert_eq!(desk.host.stores, stores + 1);
    // Nothing has changed, nothing is said.
    let turn = desk.host.turn(|_, _| {});
    desk.took(turn);
    assert_eq!(desk.host.stores, stores + 1);
    desk.host.bosh.record_changes(false);
    let outgoing = Outgoing::new(&message(9), Some(Token(9)));
    desk.host.bosh.send(outgoing);
    assert!(desk.host.bosh.take_changes().is_empty());
}

// ---- others

#[test]
fn what_is_put_together_stays_below_what_the_server_takes() {
    let mut desk = Desk::attached(usual, plain);
    desk.host.bosh.set_max_bytes(Some(600));
    desk.say(0);
    for token in 1..20 {
        desk.say(token);
    }
    while desk.open.values().any(|(_, body)| body.contains("<message")) {
        for rid in desk.rids() {
            desk.answer(rid, "", "");
        }
    }
    let with_stanzas = desk.posts.iter().filter(|body| body.contains("<message"));
    let with_stanzas: Vec<usize> = with_stanzas.map(String::len).collect();
    assert!(
        with_stanzas.len() > 4 && with_stanzas.iter().all(|bytes| *bytes <= 600),
        "{with_stanzas:?}"
    );
    // One that is too large alone still leaves: the server has to say so.
    desk.host.bosh.set_max_bytes(Some(10));
    desk.say(21);
    assert!(
        desk.last
            .posts
            .iter()
            .any(|(_, _, body)| body.contains("<body>21</body>"))
    );
}

#[test]
fn what_is_queued_can_be_seen_until_it_is_posted() {
    let mut desk = Desk::attached(usual, plain);
    desk.say(1);
    desk.say(2);
    let queued: Vec<Option<Token>> = desk.host.bosh.queued().map(|outgoing| outgoing.token).collect();
    assert_eq!(queued, [Some(Token(2))]);
    desk.answer(1004, "", "");
    assert_eq!(desk.host.bosh.queued().count(), 0);
}
