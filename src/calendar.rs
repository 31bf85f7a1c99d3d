//! The time of day in UTC by the calendar, and how it is written down (RFC 3339).

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A second of the proleptic Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The year.
    pub year: u64,
    /// The month, from 1 on.
    pub month: u64,
    /// The day of the month, from 1 on.
    pub day: u64,
    /// The hour of the day.
    pub hour: u64,
    /// The minute of the hour.
    pub minute: u64,
    /// The second of the minute.
    pub second: u64,
}

impl Calendar {
    /// That of `time`; times before 1970 are its beginning.
    pub fn of(time: SystemTime) -> Calendar {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since_epoch.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        Calendar {
            year,
            month,
            day,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

/// `2026-11-21T22:50:07Z`.
impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calendar {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// Year, month and day, counted from 1970-01-01: in years that begin in March the leap day
/// comes last.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn iso(seconds: u64) -> String {
        Calendar::of(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
    }

    #[test]
    fn seconds_and_their_dates() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_257_605, "2026-11-21T10:40:05Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(iso(seconds), want);
        }
        let before = Calendar::of(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(before.to_string(), iso(0));
    }

    proptest! {
        #[test]
        fn dates_are_those_of_the_http_dates(seconds in 0..253_402_300_800u64) {
            let ours = iso(seconds);
            let theirs = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            prop_assert_eq!(&ours[..4], &theirs[12..16]);
            prop_assert_eq!(&ours[8..10], &theirs[5..7]);
            prop_assert_eq!(&ours[11..19], &theirs[17..25]);
        }
    }
}
