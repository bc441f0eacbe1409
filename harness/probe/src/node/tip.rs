//! The blocks that LDK has been shown.

use super::Node;
use crate::node::chain::ChainError;
use crate::node::env::lock;
use bitcoin::BlockHash;
use lightning03::chain::{BlockLocator, Listen};
use std::collections::VecDeque;

/// Blocks that a fork may go back.
const FORK: usize = 100;

/// The chain that LDK has been shown: heights and hashes, the last FORK of them.
pub(super) struct Tip {
    pub(super) blocks: VecDeque<(u32, BlockHash)>,
}

impl Node {
    /// Shows LDK the blocks that have come since the last look, and answers the height.
    ///
    /// # Errors
    /// bitcoind does not answer.
    pub fn look(&self) -> Result<u32, ChainError> {
        let mut tip = lock(&self.tip);
        let best = self.bitcoind.best()?;
        // From the new tip back to a block that LDK knows.
        let mut missing = Vec::new();
        let mut hash = best;
        while !tip.blocks.iter().any(|(_, known)| *known == hash) {
            let block = self.bitcoind.block(hash)?;
            hash = block.header.prev_blockhash;
            missing.push(block);
        }
        let fork = tip.blocks.iter().position(|(_, known)| *known == hash);
        if let Some(at) = fork.filter(|at| at + 1 < tip.blocks.len()) {
            tip.blocks.truncate(at + 1);
            if let Some((height, hash)) = tip.blocks.back() {
                let point = BlockLocator::new(*hash, *height);
                self.monitor.blocks_disconnected(point);
                self.cm.blocks_disconnected(point);
            }
        }
        let mut height = tip.blocks.back().map_or(0, |(height, _)| *height);
        for block in missing.iter().rev() {
            height += 1;
            self.monitor.block_connected(block, height);
            self.cm.block_connected(block, height);
            let mut wallet = lock(&self.wallet);
            for tx in &block.txdata {
                wallet.see(tx);
            }
            tip.blocks.push_back((height, block.block_hash()));
            if tip.blocks.len() > FORK {
                tip.blocks.pop_front();
            }
        }
        Ok(height)
    }
}
