"""Networks, losses, metrics and imaging models of hsisr: everything that is a function of tensors.

Each folder is a shelf: one file per network, method, loss or metric, named as users name it.
Nothing here touches a file of the user's, the clock or the terminal.
"""
