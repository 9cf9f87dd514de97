//! Silence, late clocks, slow readers, and what a server is told about the application.

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn settings() -> config::Liveness {
    config::Liveness::default()
}

fn deadline(liveness: &Liveness) -> Option<(u64, Timer)> {
    let mut earliest = Earliest::default();
    liveness.deadline(&mut earliest);
    earliest.get().map(|(at, timer)| (at.as_millis() / 1_000, timer))
}

#[test]
fn a_silent_server_is_asked_and_then_given_up() {
    let mut liveness = Liveness::new(settings(), at(100));
    assert_eq!(deadline(&liveness), Some((400, Timer::Liveness)));
    assert_eq!(liveness.due(at(399)), Due::Nothing);
    assert_eq!(liveness.due(at(400)), Due::Ask);
    liveness.asked(at(400), 0);
    assert_eq!(liveness.due(at(400)), Due::Nothing);
    assert_eq!(deadline(&liveness), Some((430, Timer::Liveness)));
    assert_eq!(liveness.due(at(429)), Due::Nothing);
    assert_eq!(liveness.due(at(430)), Due::Dead);
}

#[test]
fn anything_that_is_heard_is_life() {
    let mut liveness = Liveness::new(settings(), at(0));
    assert_eq!(liveness.due(at(300)), Due::Ask);
    liveness.asked(at(300), 0);
    liveness.heard(at(329));
    assert_eq!(liveness.due(at(330)), Due::Nothing);
    assert_eq!(deadline(&liveness), Some((629, Timer::Liveness)));
}

#[test]
fn a_question_that_others_asked_counts_from_when_it_was_asked() {
    let mut liveness = Liveness::new(settings(), at(0));
    liveness.asked(at(10), 0);
    liveness.asked(at(20), 0);
    assert_eq!(liveness.due(at(40)), Due::Dead);
}

#[test]
fn a_question_has_time_from_when_it_left() {
    let mut liveness = Liveness::new(settings(), at(0));
    liveness.asked(at(10), 1_000);
    // A slow line: it is on its way.
    liveness.written(at(35), 999);
    assert_eq!(deadline(&liveness), Some((65, Timer::Liveness)));
    liveness.written(at(60), 500);
    // What is written afterwards says nothing about the server.
    liveness.written(at(80), 500);
    assert_eq!(deadline(&liveness), Some((90, Timer::Liveness)));
    assert_eq!(liveness.due(at(90)), Due::Dead);
}

#[test]
fn never_asks_where_it_is_told_not_to() {
    let ask_after = None;
    let mut liveness = Liveness::new(
        config::Liveness {
            ask_after,
            ..settings()
        },
        at(0),
    );
    assert_eq!(deadline(&liveness), None);
    assert_eq!(liveness.due(at(1_000_000)), Due::Nothing);
}

#[test]
fn after_a_sleep_the_server_is_asked_before_it_is_given_up() {
    // It slept before the question.
    let mut liveness = Liveness::new(settings(), at(0));
    assert_eq!(liveness.due(at(36_000)), Due::Ask);
    liveness.asked(at(36_000), 0);
    assert_eq!(deadline(&liveness), Some((36_030, Timer::Liveness)));
    assert_eq!(liveness.due(at(36_029)), Due::Nothing);
    // It slept again, while the answer was on its way.
    assert_eq!(liveness.due(at(72_000)), Due::Ask);
    liveness.asked(at(72_000), 0);
    assert_eq!(liveness.due(at(72_029)), Due::Nothing);
    // Not for ever.
    assert_eq!(liveness.due(at(99_000)), Due::Dead);
}

#[test]
fn the_answer_after_a_sleep_saves_the_link() {
    let mut liveness = Liveness::new(settings(), at(0));
    liveness.asked(at(10), 0);
    assert_eq!(liveness.due(at(5_000)), Due::Ask);
    liveness.asked(at(5_000), 0);
    liveness.heard(at(5_001));
    assert_eq!(liveness.due(at(5_030)), Due::Nothing);
    assert_eq!(deadline(&liveness), Some((5_301, Timer::Liveness)));
}

#[test]
fn while_the_host_does_not_read_time_stands_still() {
    let mut liveness = Liveness::new(settings(), at(0));
    liveness.reading(at(100), false);
    liveness.reading(at(150), false);
    assert_eq!(deadline(&liveness), None);
    assert_eq!(liveness.due(at(10_000)), Due::Nothing);
    liveness.reading(at(10_000), true);
    // 100 of the 300 seconds had passed.
    assert_eq!(deadline(&liveness), Some((10_200, Timer::Liveness)));
    assert_eq!(liveness.due(at(10_200)), Due::Ask);
    liveness.asked(at(10_200), 0);
    liveness.reading(at(10_210), false);
    assert_eq!(liveness.due(at(10_300)), Due::Nothing);
    liveness.reading(at(10_300), true);
    assert_eq!(liveness.due(at(10_319)), Due::Nothing);
    assert_eq!(liveness.due(at(10_320)), Due::Dead);
}

#[test]
fn a_question_that_was_asked_while_nobody_read_has_its_whole_time() {
    let mut liveness = Liveness::new(settings(), at(0));
    liveness.reading(at(10), false);
    liveness.asked(at(50), 0);
    liveness.reading(at(100), true);
    assert_eq!(deadline(&liveness), Some((130, Timer::Liveness)));
}

#[test]
fn a_doubt_is_settled_at_once() {
    let mut liveness = Liveness::new(settings(), at(0));
    liveness.check();
    assert_eq!(liveness.due(at(1)), Due::Ask);
    liveness.asked(at(1), 0);
    liveness.check();
    assert_eq!(liveness.due(at(2)), Due::Nothing);
    assert_eq!(liveness.due(at(31)), Due::Dead);
}

#[test]
fn white_space_goes_out_when_nothing_else_does() {
    let keep_alive_after = Some(Duration::from_secs(60));
    let settings = config::Liveness {
        keep_alive_after,
        ..settings()
    };
    let mut liveness = Liveness::new(settings, at(0));
    assert_eq!(deadline(&liveness), Some((60, Timer::KeepAlive)));
    liveness.spoke(at(30));
    assert_eq!(liveness.due(at(89)), Due::Nothing);
    assert_eq!(liveness.due(at(90)), Due::KeepAlive);
    liveness.spoke(at(90));
    assert_eq!(liveness.due(at(90)), Due::Nothing);
    // Also while the host does not read.
    liveness.reading(at(100), false);
    assert_eq!(liveness.due(at(150)), Due::KeepAlive);
}

#[test]
fn a_server_that_ends_idle_streams_hears_from_us_in_time() {
    let mut liveness = Liveness::new(settings(), at(0));
    liveness.idle_seconds(Some(120));
    assert_eq!(deadline(&liveness), Some((90, Timer::KeepAlive)));
    // Our own wish is only ever shortened.
    let keep_alive_after = Some(Duration::from_secs(30));
    let ours = config::Liveness {
        keep_alive_after,
        ..settings()
    };
    let mut liveness = Liveness::new(ours, at(0));
    liveness.idle_seconds(Some(120));
    assert_eq!(deadline(&liveness), Some((30, Timer::KeepAlive)));
    // Nobody makes us send without a pause.
    liveness.idle_seconds(Some(1));
    assert_eq!(deadline(&liveness), Some((5, Timer::KeepAlive)));
    liveness.idle_seconds(Some(0));
    assert_eq!(deadline(&liveness), Some((30, Timer::KeepAlive)));
    liveness.idle_seconds(Some(u32::MAX));
    assert_eq!(deadline(&liveness), Some((30, Timer::KeepAlive)));
}

const ACTIVE: Option<&str> = Some("<active xmlns='urn:xmpp:csi:0'/>");
const INACTIVE: Option<&str> = Some("<inactive xmlns='urn:xmpp:csi:0'/>");

#[test]
fn the_server_hears_of_changes_only() {
    let mut state = ClientState::default();
    state.online(true, false);
    assert_eq!(state.due(), None);
    state.foreground(false);
    assert_eq!(state.due(), INACTIVE);
    assert_eq!(state.due(), None);
    state.foreground(true);
    state.foreground(false);
    assert_eq!(state.due(), None);
    state.foreground(true);
    assert_eq!(state.due(), ACTIVE);
}

#[test]
fn a_server_without_the_feature_hears_nothing() {
    let mut state = ClientState::default();
    state.online(false, false);
    state.foreground(false);
    assert_eq!(state.due(), None);
    // Another one hears it.
    state.online(true, false);
    assert_eq!(state.due(), INACTIVE);
}

#[test]
fn each_session_begins_active() {
    let mut state = ClientState::default();
    state.online(true, false);
    state.foreground(false);
    assert_eq!(state.due(), INACTIVE);
    state.online(true, false);
    assert_eq!(state.due(), INACTIVE);
    state.foreground(true);
    state.online(true, false);
    assert_eq!(state.due(), None);
}

#[test]
fn a_session_that_goes_on_is_told_again() {
    let mut state = ClientState::default();
    state.online(true, false);
    // It never heard of it, so there is nothing to repeat.
    state.online(true, true);
    assert_eq!(state.due(), None);
    state.foreground(false);
    assert_eq!(state.due(), INACTIVE);
    state.online(true, true);
    assert_eq!(state.due(), INACTIVE);
    state.foreground(true);
    // The link died with the word on it, perhaps.
    assert_eq!(state.due(), ACTIVE);
    state.online(true, true);
    assert_eq!(state.due(), ACTIVE);
}
