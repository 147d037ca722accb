//! The servers' codec.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use prost::{Message, Name};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

use crate::cost::decoded_bytes;
use crate::error::Failure;
use crate::limits::{BUFFER_BYTES, YIELD_BYTES};

/// Protobuf with two differences from tonic's own codec: an undecodable message is the caller's fault
/// (INVALID_ARGUMENT, not INTERNAL), and the buffers of an idle stream are small.
#[derive(Debug, Clone)]
pub struct ServerCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ServerCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ServerCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ServerEncoder<T>;
    type Decoder = ServerDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ServerEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ServerDecoder(PhantomData)
    }
}

/// See [`ServerCodec`].
#[derive(Debug)]
pub struct ServerEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for ServerEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buf).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

/// See [`ServerCodec`].
#[derive(Debug)]
pub struct ServerDecoder<U>(PhantomData<U>);

impl<U: Message + Name + Default> Decoder for ServerDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        Ok(decode(buf)?.map(|(message, _)| message))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

/// Decodes messages together with what they take in memory.
#[derive(Debug)]
pub struct CostDecoder<U>(PhantomData<U>);

impl<U> Default for CostDecoder<U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<U: Message + Name + Default> Decoder for CostDecoder<U> {
    type Item = (U, usize);
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<(U, usize)>, Status> {
        decode(buf)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

fn decode<U: Message + Name + Default>(buf: &mut DecodeBuf<'_>) -> Result<Option<(U, usize)>, Status> {
    // A message is in one piece.
    let cost = decoded_bytes::<U>(buf.chunk()).ok_or_else(Failure::too_many_elements)?;
    U::decode(buf).map(|message| Some((message, cost))).map_err(|error| {
        Failure::new(Code::InvalidArgument, "malformed_frame", format!("not valid protobuf: {error}")).into()
    })
}

/// Messages that are already encoded.
#[derive(Debug, Clone, Copy)]
pub struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}
