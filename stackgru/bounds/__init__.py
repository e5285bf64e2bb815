"""How far two right answers may lie apart."""
