//! Memory that the processes of a server share: the scoreboard ([`board`]), its clock, and the stacks of workers.

pub mod board;
pub mod clock;
pub mod stacks;
