//! Thousands of seeded schedules. `EPODE_SEED=17 cargo test -p epode --test pair schedules` plays one of them.

use crate::bed::{Bed, Kind, Outcome};

fn play(kind: Kind, seeds: std::ops::Range<u64>) -> Outcome {
    let only: Option<u64> = std::env::var("EPODE_SEED").ok().map(|seed| seed.parse().unwrap());
    let mut sum = Outcome::default();
    for seed in seeds {
        if only.is_some_and(|only| only != seed) {
            continue;
        }
        let outcome = Bed::new(kind, seed).run();
        sum.resends += outcome.resends;
        sum.replays += outcome.replays;
        sum.reports += outcome.reports;
        sum.out_of_order += outcome.out_of_order;
        sum.keys += outcome.keys;
        sum.messages += outcome.messages;
        sum.failed += outcome.failed;
    }
    println!("{kind:?}: {sum:?}");
    if only.is_some() {
        return Outcome {
            resends: u64::MAX,
            replays: u64::MAX,
            reports: u64::MAX,
            keys: u64::MAX,
            out_of_order: u64::MAX,
            messages: u64::MAX,
            failed: u64::MAX,
        };
    }
    sum
}

#[test]
fn what_can_be_put_right_loses_nothing_and_duplicates_nothing() {
    let sum = play(Kind::Recoverable, 0..2_000);
    // The network did what it is here for.
    assert!(sum.resends > 5_000 && sum.replays > 1_000 && sum.out_of_order > 500 && sum.reports > 100);
    assert!(sum.keys > 1_000);
}

#[test]
fn leaving_in_the_middle_settles_every_message() {
    play(Kind::StopEarly, 10_000..10_300);
}

#[test]
fn an_outage_ends_with_a_reason_and_failed_messages() {
    let sum = play(Kind::Outage, 20_000..20_200);
    assert!(sum.failed > 0);
}

#[test]
fn a_session_that_the_server_forgot_acknowledges_nothing() {
    let sum = play(Kind::Forgotten, 30_000..30_200);
    assert!(sum.failed > 0);
}
