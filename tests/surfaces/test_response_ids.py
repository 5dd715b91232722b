from shared.surfaces.response_ids import is_minted, mint_response_id


def test_our_ids_are_distinguishable_from_those_of_providers():
    ours = mint_response_id()
    assert ours.startswith("resp_")
    assert len(ours) == 53
    assert is_minted(ours)
    assert not is_minted(ours[:-1] + ("0" if ours[-1] != "0" else "1"))
    for other in ("", "resp_", "resp_" + "0" * 48, ours.removeprefix("resp_"), "resp_" + "é" * 48, ours + "0"):
        assert not is_minted(other)
