//! The HTTP/3 codec (RFC 9114) with QPACK (RFC 9204).
//!
//! In the order of a message: [`request`] takes the stream of a request apart into frames, [`qpack`]
//! reads field sections, [`control`] reads the streams that concern the whole connection.

mod code;
mod control;
pub mod exercise;
mod frames;
mod head;
mod huffman;
mod qpack;
mod request;
mod statics;
mod varint;

pub use code::Code;
pub use control::{
    Control, ControlFrames, Kind, Settings, check_decoder, check_encoder, write_control_start,
};
pub use frames::{write_data_head, write_goaway, write_headers, write_sign_of_life};
pub use head::read_request;
pub use qpack::{Section, SectionWrong, begin_section, write_line, write_status};
pub use request::{RequestFrames, RequestPart, StreamWrong};
pub use varint::{VARINT_MAX, read_varint, write_varint};
