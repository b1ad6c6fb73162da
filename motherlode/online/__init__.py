"""The online store's way of using Redis or Valkey: keys, generations, newest-wins, tombstones, the fast reader.

Enters: packed rows, entity texts. Leaves: NumPy columns with validity, ages and a status each.
May import the ground floor; must not import Feast, Polars, Ray or any room above.
"""
