"""A deterministic simulation of the commit protocol: the real code on a simulated disk.

Drivers, workers, readers and the collection of leftovers run `skyloom.storage` and
`skyloom.engine` as they are. Every system call of theirs goes through a simulated disk,
which hands the baton back to a seeded scheduler first; the scheduler then decides who goes
on, who is killed and when the power fails. One seed is one schedule, in any process.

`mutations` holds protocols that are broken on purpose. A simulator that does not find
them would prove nothing by finding nothing in the real one.

    python -m tests.faults.simulator --seeds 100000
"""
