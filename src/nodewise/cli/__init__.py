# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The `testnet` command. Modules here parse words and print; anything heavy is imported inside the command that needs it."""
