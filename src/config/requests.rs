//! What requests may take, from the file and the flags.

use super::error::{Error, Problem, Source};
use super::file::{File, Table};
use crate::http::Limits;
use crate::http::limits::MAX_FIELDS;
use bytesize::ByteSize;
use std::ops::RangeInclusive;
use toml::Spanned;

/// Room for the shortest request line that is of any use, and for what each connection may be made to hold.
const REQUEST_LINE_BYTES: RangeInclusive<u64> = 64..=64 << 10;
const HEAD_BYTES: RangeInclusive<u64> = 128..=256 << 10;
const FIELDS: RangeInclusive<u64> = 1..=MAX_FIELDS as u64;
const BODY_BYTES: RangeInclusive<u64> = 0..=1 << 40;
const CHUNK_LINE_BYTES: RangeInclusive<u64> = 16..=64 << 10;
const TRAILER_BYTES: RangeInclusive<u64> = 2..=256 << 10;

/// The limits of all requests; flags win over the file.
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
    let bytes = |key, value: &Option<Spanned<ByteSize>>, range| {
        let value = value.as_ref();
        let value = value.map(|value| Spanned::new(value.span(), value.get_ref().as_u64()));
        within(source, key, value.as_ref(), range)
    };
    let line = &table.max_request_line_bytes;
    if let Some(most) = bytes("max-request-line-bytes", line, REQUEST_LINE_BYTES)? {
        limits.request_line_bytes = most as usize;
    }
    if let Some(most) = bytes("max-head-bytes", &table.max_head_bytes, HEAD_BYTES)? {
        limits.head_bytes = most as usize;
    }
    if let Some(most) = within(source, "max-fields", table.max_fields.as_ref(), FIELDS)? {
        limits.fields = most as usize;
    }
    if let Some(most) = bytes("max-body-bytes", &table.max_body_bytes, BODY_BYTES)? {
        limits.body_bytes = most;
    }
    let line = &table.max_chunk_line_bytes;
    if let Some(most) = bytes("max-chunk-line-bytes", line, CHUNK_LINE_BYTES)? {
        limits.chunk_line_bytes = most as usize;
    }
    if let Some(most) = bytes("max-trailer-bytes", &table.max_trailer_bytes, TRAILER_BYTES)? {
        limits.trailer_bytes = most as usize;
    }
    Ok(())
}

/// The value of `key`, if there is one.
fn within(
    source: Source<'_>,
    key: &'static str,
    value: Option<&Spanned<u64>>,
    range: RangeInclusive<u64>,
) -> Result<Option<u64>, Error> {
    match value {
        Some(value) if !range.contains(value.get_ref()) => {
            let why = Problem::Range {
                value: *value.get_ref(),
                least: *range.start(),
                most: *range.end(),
            };
            Err(source.error(key, value.span(), why))
        }
        value => Ok(value.map(|value| *value.get_ref())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(flags: &Table, text: &str) -> Result<Limits, String> {
        let file = File::parse("site.toml".as_ref(), text.to_owned()).expect("a file");
        limits(Some(&file), flags).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_win_over_the_file_and_both_over_the_defaults() {
        let text = "max-head-bytes = \"32KiB\"\nmax-fields = 50\nmax-body-bytes = 0\n\
                    max-request-line-bytes = 1000\nmax-chunk-line-bytes = \"64B\"\n\
                    max-trailer-bytes = 100\n";
        let flags = Table {
            max_fields: Some(Spanned::new(0..0, 20)),
            ..Table::default()
        };
        let expected = Limits {
            request_line_bytes: 1_000,
            head_bytes: 32 << 10,
            fields: 20,
            body_bytes: 0,
            chunk_line_bytes: 64,
            trailer_bytes: 100,
            ..Limits::default()
        };
        assert_eq!(with(&flags, text), Ok(expected));
        assert_eq!(limits(None, &Table::default()), Ok(Limits::default()));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for (text, why) in [
            (
                "max-fields = 101",
                "site.toml:1:14: 101 is out of range, which is 1 to 100",
            ),
            (
                "max-fields = 0",
                "site.toml:1:14: 0 is out of range, which is 1 to 100",
            ),
            (
                "max-head-bytes = \"1MiB\"",
                "site.toml:1:18: 1048576 is out of range, which is 128 to 262144",
            ),
        ] {
            assert_eq!(with(&Table::default(), text), Err(why.to_owned()));
        }
        let flags = Table {
            max_request_line_bytes: Some(Spanned::new(0..0, ByteSize(1))),
            ..Table::default()
        };
        let why = "--max-request-line-bytes: 1 is out of range, which is 64 to 65536";
        assert_eq!(with(&flags, ""), Err(why.to_owned()));
    }
}
