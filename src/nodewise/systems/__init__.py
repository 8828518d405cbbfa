# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine must know of a system that is not in its role: a folder for each."""
