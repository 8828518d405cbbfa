# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A version becomes a release: rules, URLs and checksums, whichever way its files are to be had."""
