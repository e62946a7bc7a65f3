//! Prequential loops and metrics behind backtest and evaluate.
