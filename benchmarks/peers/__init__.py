"""What Motherlode is measured beside: small servers of public parts as their makers' guides have them, each a process.

Enters: `company.py` makes one company for all of them, and its models. Leaves: HTTP answers, the same as ours.
`environment.py` is where a peer runs that needs what Motherlode's own environment lacks.
May import: whatever a peer is made of; Motherlode in `company.py` and `stores.py` alone.
"""
