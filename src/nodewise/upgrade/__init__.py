# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An upgrade: planned, approved, rolled one batch at a time, judged, and taken back. It knows no system by name."""
