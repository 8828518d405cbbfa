"""The `testnet` command. Modules here parse words and print; anything heavy is imported inside the command that needs it."""
