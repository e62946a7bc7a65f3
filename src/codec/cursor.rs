//! Avro's primitives from borrowed bytes. Every length is checked against what is left of the input,
//! so nothing is ever allocated or walked because a record says so.

use super::Rejected;
use crate::event::Reject;

/// What is wrong with the bytes, before anybody knows in which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub reason: Reject,
    pub what: &'static str,
}

impl Fault {
    pub const fn malformed(what: &'static str) -> Fault {
        Fault { reason: Reject::Malformed, what }
    }
}

impl From<Fault> for Rejected {
    #[cold]
    fn from(fault: Fault) -> Rejected {
        Rejected::new(fault.reason, fault.what)
    }
}

const ENDS: Fault = Fault::malformed("the record ends too early");

/// Reads forward through one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// The head of one block of an array or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Items in the block; 0 ends the array.
    pub count: u64,
    /// How many bytes they take, where the writer says so.
    pub bytes: Option<usize>,
}

impl<'a> Cursor<'a> {
    pub fn new(record: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: record }
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Fails where bytes are left.
    pub fn end(&self) -> Result<(), Fault> {
        if self.rest.is_empty() { Ok(()) } else { Err(Fault::malformed("bytes after the record's end")) }
    }

    /// The next `length` bytes.
    #[inline]
    pub fn fixed(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ENDS)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(ENDS)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A zigzag varint of at most 64 bits.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Fault> {
        match self.rest {
            [low, rest @ ..] if *low < 0x80 => {
                self.rest = rest;
                Ok(zigzag(u64::from(*low)))
            }
            _ => self.long_of_many_bytes(),
        }
    }

    fn long_of_many_bytes(&mut self) -> Result<i64, Fault> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && byte > 1 {
                return Err(Fault::malformed("a number of more than 64 bits"));
            }
            value |= bits << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(zigzag(value));
            }
        }
        Err(ENDS)
    }

    /// A zigzag varint of at most 32 bits.
    #[inline]
    pub fn int(&mut self) -> Result<i32, Fault> {
        i32::try_from(self.long()?).map_err(|_| Fault::malformed("an int of more than 32 bits"))
    }

    pub fn float(&mut self) -> Result<f32, Fault> {
        self.array().map(f32::from_le_bytes)
    }

    pub fn double(&mut self) -> Result<f64, Fault> {
        self.array().map(f64::from_le_bytes)
    }

    pub fn boolean(&mut self) -> Result<bool, Fault> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Fault::malformed("a boolean that is neither 0 nor 1")),
        }
    }

    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| Fault::malformed("a negative length"))?;
        self.fixed(length)
    }

    #[inline]
    pub fn text(&mut self) -> Result<&'a str, Fault> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes)
            .map_err(|_| Fault { reason: Reject::InvalidText, what: "text that is not UTF-8" })
    }

    /// The branch of a union or the symbol of an enum, below `count`.
    #[inline]
    pub fn index(&mut self, count: usize) -> Result<usize, Fault> {
        let index = usize::try_from(self.long()?).ok().filter(|&index| index < count);
        index.ok_or(Fault::malformed("a union branch or enum symbol that its schema does not have"))
    }

    /// A negative count is followed by the size of the block in bytes.
    #[inline]
    pub fn block(&mut self) -> Result<Block, Fault> {
        let count = self.long()?;
        if count >= 0 {
            return Ok(Block { count: count.unsigned_abs(), bytes: None });
        }
        let bytes = usize::try_from(self.long()?).ok().filter(|&bytes| bytes <= self.rest.len());
        let bytes = bytes.ok_or(Fault::malformed("a block larger than the record"))?;
        Ok(Block { count: count.unsigned_abs(), bytes: Some(bytes) })
    }
}

#[inline]
fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
