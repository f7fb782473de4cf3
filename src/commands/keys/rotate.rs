pub fn run(_: &crate::cli::KeysRotate, _: &crate::world::World) -> crate::error::Result<()> { Ok(()) }
