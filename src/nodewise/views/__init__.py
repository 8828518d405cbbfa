# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people see: a live table, plain lines, plans and summaries in words."""
