"""FR I and FR II radio galaxies: a group-equivariant LeNet and its plain twin.

Source: Scaife & Porter 2021, MNRAS 503, 2369 (ads:2021MNRAS.503.2369S).
"""
