"""Real servers on loopback that can be killed, stopped and started again at the same address."""
