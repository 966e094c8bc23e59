//! Reading a bundle's archive strictly and once: each member's bytes are counted and hashed as they pass, and whatever ustar
//! does not allow, or stands between or behind the members, ends it.

use super::Fault;
use crate::audit::bundle::Member;
use aws_lc_rs::digest::{Context, SHA256};
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};

const BLOCK: usize = 512;
/// Blocks of zeros at the end: two, and at most what fills up a record of twenty.
const END: std::ops::RangeInclusive<usize> = 2..=21;
/// Read at a time.
const CHUNK: usize = 1 << 20;
/// The longest line.
const LONGEST: usize = 16 << 20;

/// The archive, plain or gzip, with what was read of it.
pub struct Archive<R: Read> {
    from: Plain<R>,
    /// Of the member that is being read: name, bytes still to come, bytes read, hash.
    open: Option<Open>,
    read: Vec<Member>,
}

struct Open {
    name: String,
    size: u64,
    left: u64,
    hash: Context,
}

enum Plain<R: Read> {
    Tar(BufReader<R>),
    Gzip(Box<GzDecoder<BufReader<R>>>),
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tar(from) => from.read(buffer),
            Self::Gzip(from) => from.read(buffer),
        }
    }
}

fn malformed(what: impl Into<String>) -> Fault {
    Fault::malformed(1, what)
}

fn unreadable(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => malformed("the archive ends early"),
        _ => malformed(format!("the archive cannot be read: {error}")),
    }
}

impl<R: Read> Archive<R> {
    pub fn open(from: R) -> Result<Self, Fault> {
        let mut from = BufReader::with_capacity(1 << 16, from);
        let gzip = from.fill_buf().map_err(|e| unreadable(&e))?.starts_with(&[0x1f, 0x8b]);
        let from = if gzip { Plain::Gzip(Box::new(GzDecoder::new(from))) } else { Plain::Tar(from) };
        Ok(Self { from, open: None, read: Vec::new() })
    }

    /// The members that were read to their end.
    pub fn read(&self) -> &[Member] {
        &self.read
    }

    /// Goes to the next member, which must be there. The one before must have been read.
    pub fn next(&mut self) -> Result<String, Fault> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        if block == [0; BLOCK] {
            return Err(malformed("the archive ends before its manifest"));
        }
        let header = tar::Header::from_byte_slice(&block);
        let mut right = header.clone();
        right.set_cksum();
        let sum = |header: &tar::Header| header.cksum().ok();
        if sum(header).is_none() || sum(header) != sum(&right) {
            return Err(malformed("a member's header has a wrong checksum"));
        }
        let Some(ustar) = header.as_ustar() else { return Err(malformed("the archive is not ustar")) };
        if ustar.typeflag != *b"0" {
            return Err(malformed("a member is no regular file"));
        }
        let name = String::from_utf8(header.path_bytes().into_owned())
            .map_err(|_| malformed("a member's name is not UTF-8"))?;
        // Sizes in base 256 are not ustar's.
        let size = header.size().ok().filter(|_| ustar.size[0] & 0x80 == 0);
        let Some(size) = size else { return Err(malformed(format!("{name}: its size is no octal number"))) };
        self.open = Some(Open { name: name.clone(), size, left: size, hash: Context::new(&SHA256) });
        Ok(name)
    }

    /// Goes to the member that must come here.
    pub fn expect(&mut self, name: &str) -> Result<(), Fault> {
        match self.next()? {
            found if found == name => Ok(()),
            found => Err(malformed(format!("{name} should stand where {found:?} is"))),
        }
    }

    /// The whole of the member, which must not be larger.
    pub fn content(&mut self, most: u64) -> Result<Vec<u8>, Fault> {
        let size = self.open.as_ref().map_or(0, |open| open.size);
        if size > most {
            let name = self.open.as_ref().map_or("", |open| &open.name);
            return Err(malformed(format!("{name} has more than {most} bytes")));
        }
        let mut content = vec![0; size as usize];
        self.take(&mut content)?;
        self.close()?;
        Ok(content)
    }

    /// The next whole lines of the member, about a MiB of them, with their newlines; none at its end. `rest` is what the call
    /// before left over, and must be empty at first.
    pub fn lines(&mut self, rest: &mut Vec<u8>) -> Result<Vec<u8>, Fault> {
        let mut lines = std::mem::take(rest);
        loop {
            let left = self.open.as_ref().map_or(0, |open| open.left);
            if left == 0 {
                if !lines.is_empty() {
                    return Err(Fault::malformed(5, "the last line of a part has no newline"));
                }
                self.close()?;
                return Ok(lines);
            }
            let old = lines.len();
            lines.resize(old + CHUNK.min(usize::try_from(left).unwrap_or(CHUNK)), 0);
            self.take(&mut lines[old..])?;
            if let Some(end) = memchr::memrchr(b'\n', &lines[old..]) {
                *rest = lines.split_off(old + end + 1);
                return Ok(lines);
            }
            if lines.len() > LONGEST {
                return Err(Fault::malformed(5, format!("a line has more than {LONGEST} bytes")));
            }
        }
    }

    /// Nothing may follow the last member but the end.
    pub fn end(&mut self) -> Result<(), Fault> {
        let (mut blocks, mut block) = (0, [0; BLOCK]);
        loop {
            match self.from.read(&mut block[..1]).map_err(|e| unreadable(&e))? {
                0 if END.contains(&blocks) => break,
                0 => return Err(malformed("the archive does not end as it should")),
                _ => self.fill(&mut block[1..])?,
            }
            blocks += 1;
            if block != [0; BLOCK] || blocks > *END.end() {
                return Err(malformed("something follows the end of the archive"));
            }
        }
        let behind = match &mut self.from {
            Plain::Tar(_) => false,
            Plain::Gzip(from) => !from.get_mut().fill_buf().map_err(|e| unreadable(&e))?.is_empty(),
        };
        if behind {
            return Err(malformed("something follows the end of the gzip stream"));
        }
        Ok(())
    }

    fn take(&mut self, content: &mut [u8]) -> Result<(), Fault> {
        self.fill(content)?;
        if let Some(open) = &mut self.open {
            open.hash.update(content);
            open.left -= content.len() as u64;
        }
        Ok(())
    }

    /// Reads what fills up the member's last block.
    fn close(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let mut padding = [0; BLOCK];
        let length = (open.size.next_multiple_of(BLOCK as u64) - open.size) as usize;
        self.fill(&mut padding[..length])?;
        if padding != [0; BLOCK] {
            return Err(malformed(format!("{}: something stands behind its end", open.name)));
        }
        let sha256 = hex::encode(open.hash.finish());
        self.read.push(Member { name: open.name, bytes: open.size, sha256 });
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Fault> {
        self.from.read_exact(buffer).map_err(|e| unreadable(&e))
    }
}
