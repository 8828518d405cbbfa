# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disturbances of a cluster on test hosts: held by the node itself, proved to be in effect, and proved to be healed."""
