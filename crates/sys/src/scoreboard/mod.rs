//! Memory that the processes of a server share: the scoreboard ([`board`]), its clock, the requests in flight ([`facts`]), and the
//! stacks of workers.

pub mod board;
pub mod clock;
pub mod facts;
pub mod stacks;
