//! What is kept of files, and for how long it is believed, from the file and the flags.

use super::error::{Error, Problem, Source};
use super::file::{File, Table};
use crate::site::Limits;
use std::time::Duration;

/// More than that is no cache any more: 1 TiB.
const MOST_BYTES: u64 = 1 << 40;
/// A day.
const MOST_SECONDS: f64 = 86_400.0;

/// The limits of the cache; flags win over the file.
///
/// # Errors
/// The first one that is out of its range.
pub fn limits(file: Option<&(File, Table)>, flags: &Table) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    if let Some((file, table)) = file {
        set(&mut limits, table, Source::File(file))?;
    }
    set(&mut limits, flags, Source::Flags)?;
    Ok(limits)
}

fn set(limits: &mut Limits, table: &Table, source: Source<'_>) -> Result<(), Error> {
    if let Some(size) = &table.cache {
        let (value, least, most) = (size.get_ref().as_u64(), 0, MOST_BYTES);
        if value > most {
            let why = Problem::Range { value, least, most };
            return Err(source.error("cache", size.span(), why));
        }
        limits.cache_bytes = value;
    }
    if let Some(seconds) = &table.revalidate {
        let value = *seconds.get_ref();
        if !(0.0..=MOST_SECONDS).contains(&value) {
            let why = Problem::Seconds {
                value,
                most: MOST_SECONDS,
            };
            return Err(source.error("revalidate", seconds.span(), why));
        }
        limits.revalidate = Duration::from_secs_f64(value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytesize::ByteSize;
    use toml::Spanned;

    fn with(flags: &Table, text: &str) -> Result<(u64, f64), String> {
        let file = File::parse("site.toml".as_ref(), text.to_owned()).expect("a file");
        let limits = limits(Some(&file), flags).map_err(|error| error.to_string())?;
        Ok((limits.cache_bytes, limits.revalidate.as_secs_f64()))
    }

    #[test]
    fn flags_win_over_the_file_and_both_over_the_defaults() {
        let flags = |cache: Option<u64>, revalidate| Table {
            cache: cache.map(|bytes| Spanned::new(0..0, ByteSize(bytes))),
            revalidate: Option::map(revalidate, |seconds| Spanned::new(0..0, seconds)),
            ..Table::default()
        };
        let none = flags(None, None);
        for (flags, text, want) in [
            (&none, "", (256 << 20, 1.0)),
            (&none, "cache = \"1GiB\"\nrevalidate = 10", (1 << 30, 10.0)),
            (&none, "cache = 0\nrevalidate = 0", (0, 0.0)),
            (
                &none,
                "cache = \"256M\"\nrevalidate = 0.25",
                (256_000_000, 0.25),
            ),
            (
                &flags(Some(7), Some(2.5)),
                "cache = \"1GiB\"\nrevalidate = 10",
                (7, 2.5),
            ),
        ] {
            assert_eq!(with(flags, text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for (text, why) in [
            (
                "cache = \"2TiB\"",
                "site.toml:1:9: 2199023255552 is out of range, which is 0 to 1099511627776",
            ),
            (
                "revalidate = -1",
                "site.toml:1:14: -1 is no number of seconds from 0 to 86400",
            ),
            (
                "revalidate = inf",
                "site.toml:1:14: inf is no number of seconds from 0 to 86400",
            ),
        ] {
            assert_eq!(with(&Table::default(), text), Err(why.to_owned()));
        }
        let flags = Table {
            revalidate: Some(Spanned::new(0..0, f64::NAN)),
            ..Table::default()
        };
        let why = "--revalidate: NaN is no number of seconds from 0 to 86400";
        assert_eq!(with(&flags, ""), Err(why.to_owned()));
    }
}
