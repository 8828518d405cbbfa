# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rehearsals: clients at work on a testnet while it is upgraded, and what a judge says of it all."""
