//! The time at which a message was first sent, for one that is sent again (XEP-0203).

use alloc::format;
use alloc::string::String;

const SECONDS_PER_DAY: u64 = 86_400;

/// `message` with a `<delay/>` at its end; `None` where there is no room for one, or the time has no XEP-0082 form.
pub(super) fn stamp(message: &str, unix_ms: u64) -> Option<String> {
    let stamp = date_time(unix_ms)?;
    // The writer ends an element in one of these two ways.
    let start = match message.strip_suffix("</message>") {
        Some(start) => String::from(start),
        None => format!("{}>", message.strip_suffix("/>")?),
    };
    Some(format!(
        "{start}<delay xmlns='urn:xmpp:delay' stamp='{stamp}'/></message>"
    ))
}

/// XEP-0082 §3.2: in UTC; four digits for the year.
fn date_time(unix_ms: u64) -> Option<String> {
    let (seconds, millis) = (unix_ms / 1_000, unix_ms % 1_000);
    let (days, second) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    let (year, month, day) = date(days)?;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let fraction = if millis == 0 {
        String::new()
    } else {
        format!(".{millis:03}")
    };
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"
    ))
}

/// Year, month and day of the Gregorian calendar, so many days after 1970-01-01.
fn date(mut days: u64) -> Option<(u64, u64, u64)> {
    let mut year = 1970;
    loop {
        if year > 9_999 {
            return None;
        }
        let in_year = 365 + u64::from(is_leap(year));
        if days < in_year {
            break;
        }
        days -= in_year;
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    Some((year, month, days + 1))
}

fn is_leap(year: u64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let rows = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_795_305_600_000, "2026-11-22T00:00:00Z"),
            (1_798_761_599_000, "2026-12-31T23:59:59Z"),
            (1_798_761_600_007, "2027-01-01T00:00:00.007Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59Z"),
        ];
        for (unix_ms, expected) in rows {
            assert_eq!(date_time(unix_ms).as_deref(), Some(expected));
        }
        assert_eq!(date_time(253_402_300_800_000), None);
        assert_eq!(date_time(u64::MAX), None);
    }

    #[test]
    fn a_stamp_is_the_last_child() {
        let delay = "<delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:00Z'/>";
        assert_eq!(
            stamp("<message xmlns='jabber:client'><body>a</body></message>", 0).unwrap(),
            format!("<message xmlns='jabber:client'><body>a</body>{delay}</message>")
        );
        assert_eq!(
            stamp("<message xmlns='jabber:client' to='a@b'/>", 0).unwrap(),
            format!("<message xmlns='jabber:client' to='a@b'>{delay}</message>")
        );
        assert_eq!(stamp("", 0), None);
    }
}
