"""Key names: one slot of a cluster a partition, and no two things under one name."""

from gateway.index import keys


def test_every_key_of_a_partition_has_its_hash_tag() -> None:
    names = [
        *(keys.sequence(), keys.reclaim(), keys.reclaiming(), keys.trash(), keys.condemned(), keys.write_leases()),
        *(keys.nodes(), keys.buckets(), keys.owned_buckets(), keys.users(), keys.user_names()),
        *(keys.bucket("b"), keys.objects("b"), keys.uploads("b"), keys.worker_lease("b"), keys.layout("b", "0a")),
        *(keys.parts("b", "u"), keys.parts_revision("b", "u"), keys.completed_upload("b", "u")),
    ]

    assert all(name.startswith("cairn:{0}:") for name in names)
    assert len(set(names)) == len(names)
